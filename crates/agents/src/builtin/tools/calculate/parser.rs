//! Tokens to a value, by recursive descent with a bound on depth.
//!
//! From loose to tight: `+ -`; `* / mod of`; unary `-`; `^` (to the right); `!` and percent.

use dashu_int::{IBig, UBig};
use dashu_ratio::RBig;

use super::{
    lexer::{Token, tokens},
    number::{Arithmetic, Number},
};
use crate::ToolFailure;

/// Deepest nesting of parentheses, signs and powers.
const MAX_DEPTH: usize = 64;

/// The functions that an expression may call.
pub(crate) const FUNCTIONS: [&str; 9] = ["sqrt", "abs", "min", "max", "gcd", "lcm", "floor", "ceil", "round"];

/// Pi to 50 decimals, for want of an exact value.
const PI: &str = "3.14159265358979323846264338327950288419716939937510";

/// Evaluates an expression.
pub(super) fn evaluate(text: &str) -> Result<Number, ToolFailure> {
    let mut parser = Parser { tokens: tokens(text)?, at: 0, depth: 0, arithmetic: Arithmetic::new() };
    let number = parser.sum()?;
    match parser.peek() {
        None => Ok(number),
        Some(token) => Err(unexpected(Some(token))),
    }
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
    arithmetic: Arithmetic,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    /// Steps over `sign` if it is next.
    fn takes(&mut self, sign: char) -> bool {
        let next = self.peek() == Some(&Token::Sign(sign));
        self.at += usize::from(next);
        next
    }

    fn expect(&mut self, sign: char) -> Result<(), ToolFailure> {
        if self.takes(sign) { Ok(()) } else { Err(unexpected(self.peek())) }
    }

    fn sum(&mut self) -> Result<Number, ToolFailure> {
        let mut left = self.product()?;
        loop {
            let sign = match self.peek() {
                Some(Token::Sign(sign @ ('+' | '-'))) => *sign,
                _ => return Ok(left),
            };
            self.at += 1;
            let right = self.product()?;
            left = self.arithmetic.apply(sign, &left, &right)?;
        }
    }

    fn product(&mut self) -> Result<Number, ToolFailure> {
        let mut left = self.signed()?;
        loop {
            let sign = match self.peek() {
                Some(Token::Sign(sign @ ('*' | '/' | '%'))) => *sign,
                Some(Token::Name(name)) if name == "of" => '*',
                Some(Token::Name(name)) if name == "mod" => '%',
                // `2(3+4)`: what stands before a parenthesis multiplies it.
                Some(Token::Sign('(')) => {
                    let right = self.signed()?;
                    left = self.arithmetic.apply('*', &left, &right)?;
                    continue;
                }
                _ => return Ok(left),
            };
            self.at += 1;
            let right = self.signed()?;
            left = self.arithmetic.apply(sign, &left, &right)?;
        }
    }

    fn signed(&mut self) -> Result<Number, ToolFailure> {
        self.deeper()?;
        let number = if self.takes('-') {
            let number = self.signed()?;
            Number { value: -number.value, exact: number.exact }
        } else if self.takes('+') {
            self.signed()?
        } else {
            self.power()?
        };
        self.depth -= 1;
        Ok(number)
    }

    fn power(&mut self) -> Result<Number, ToolFailure> {
        let base = self.suffixed()?;
        if !self.takes('^') {
            return Ok(base);
        }
        let exponent = self.signed()?;
        self.arithmetic.power(&base, &exponent)
    }

    fn suffixed(&mut self) -> Result<Number, ToolFailure> {
        let mut number = self.primary()?;
        loop {
            if self.takes('!') {
                number = self.arithmetic.factorial(&number)?;
            } else if self.peek() == Some(&Token::Sign('%')) && !self.operand_follows() {
                self.at += 1;
                let hundred = Number::exact(RBig::from(100));
                number = self.arithmetic.apply('/', &number, &hundred)?;
            } else {
                return Ok(number);
            }
        }
    }

    /// Whether the `%` at hand stands between two numbers and so means the remainder.
    fn operand_follows(&self) -> bool {
        match self.tokens.get(self.at + 1) {
            Some(Token::Number(_) | Token::Sign('(')) => true,
            Some(Token::Name(name)) => name != "of" && name != "mod",
            _ => false,
        }
    }

    fn primary(&mut self) -> Result<Number, ToolFailure> {
        let token = self.peek().cloned();
        self.at += 1;
        match token {
            Some(Token::Number(value)) => Ok(Number::exact(value)),
            Some(Token::Sign('(')) => {
                self.deeper()?;
                let number = self.sum()?;
                self.depth -= 1;
                self.expect(')')?;
                Ok(number)
            }
            Some(Token::Name(name)) if name == "pi" || name == "π" => pi(),
            Some(Token::Name(name)) if FUNCTIONS.contains(&name.as_str()) => {
                self.deeper()?;
                let number = self.call(&name)?;
                self.depth -= 1;
                Ok(number)
            }
            token => Err(unexpected(token.as_ref())),
        }
    }

    fn call(&mut self, name: &str) -> Result<Number, ToolFailure> {
        let arguments = if self.takes('(') {
            let mut arguments = vec![self.sum()?];
            while self.takes(',') {
                arguments.push(self.sum()?);
            }
            self.expect(')')?;
            arguments
        } else {
            // `sqrt 16`, as people write it.
            vec![self.suffixed()?]
        };
        let mut arguments = arguments.into_iter();
        let first = arguments.next().ok_or_else(|| unexpected(None))?;
        match name {
            "min" | "max" | "gcd" | "lcm" => {
                arguments.try_fold(first, |so_far, next| self.fold(name, so_far, next))
            }
            _ if arguments.len() > 0 => {
                Err(ToolFailure::new("invalid_expression", format!("{name} takes one number.")))
            }
            "sqrt" => self.arithmetic.root(&first),
            "abs" if first.value < RBig::ZERO => Ok(Number { value: -first.value, exact: first.exact }),
            "abs" => Ok(first),
            "floor" => Ok(Number::exact(RBig::from(first.value.floor()))),
            "ceil" => Ok(Number::exact(RBig::from(first.value.ceil()))),
            _ => Ok(Number::exact(RBig::from(first.value.round()))),
        }
    }

    fn fold(&mut self, name: &str, so_far: Number, next: Number) -> Result<Number, ToolFailure> {
        let exact = so_far.exact && next.exact;
        let keeps = match name {
            "gcd" | "lcm" => return self.arithmetic.divisor(&so_far, &next, name == "lcm"),
            "min" => so_far.value <= next.value,
            _ => so_far.value >= next.value,
        };
        Ok(Number { exact, ..if keeps { so_far } else { next } })
    }

    fn deeper(&mut self) -> Result<(), ToolFailure> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(ToolFailure::new("too_deep", format!("I follow nesting up to {MAX_DEPTH} levels.")));
        }
        Ok(())
    }
}

fn pi() -> Result<Number, ToolFailure> {
    let digits = PI.replace('.', "");
    let places = digits.len() - 1;
    let numerator = IBig::from_str_radix(&digits, 10).map_err(|_| unexpected(None))?;
    Ok(Number { value: RBig::from_parts(numerator, UBig::from(10u8).pow(places)), exact: false })
}

fn unexpected(token: Option<&Token>) -> ToolFailure {
    let message = match token {
        None => "The expression is not complete.".to_owned(),
        Some(Token::Number(_)) => "There is a number where an operator should stand.".to_owned(),
        Some(Token::Name(name)) => format!("I do not know {name:?} in an expression."),
        Some(Token::Sign(sign)) => format!("There is a {sign:?} where a number should stand."),
    };
    ToolFailure::new("invalid_expression", message)
}
