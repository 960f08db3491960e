//! The `calculate` tool: exact arithmetic on fractions of 128-bit integers. What does not fit is refused, never rounded.
//!
//! From loose to tight: `+ -`; `* / %`; unary `-`; `^`, to the right.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::ToolError;

mod ratio;

use ratio::Ratio;

/// What the tool says about itself.
pub(crate) const DESCRIPTION: &str =
    "Exact arithmetic on integers, decimals and fractions: + - * / % ^ and parentheses.";

/// Longest expression read, in bytes.
const MAX_EXPRESSION: usize = 1_000;

/// Deepest nesting of parentheses, signs and powers.
const MAX_DEPTH: usize = 64;

/// What to calculate.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct ExpressionArguments {
    /// An expression such as `17*23`.
    expression: String,
}

/// Evaluates the expression; the same text always gives the same result.
pub(crate) fn calculate(arguments: ExpressionArguments) -> Result<Value, ToolError> {
    let expression = arguments.expression.trim();
    if expression.len() > MAX_EXPRESSION {
        let message = format!("The expression is longer than {MAX_EXPRESSION} bytes.");
        return Err(ToolError::new("too_long", message));
    }
    let signs: Vec<char> = expression.chars().filter(|c| !c.is_whitespace()).collect();
    let mut reader = Reader { signs: &signs, depth: 0 };
    let value = reader.sum()?;
    if let Some(sign) = reader.signs.first() {
        return Err(unexpected(Some(*sign)));
    }
    let mut result = json!({ "expression": expression, "result": value.to_string(), "exact": true });
    if let Some(decimal) = value.approximation() {
        result["approximation"] = decimal.into();
    }
    Ok(result)
}

/// Recursive descent over what is left of the expression.
struct Reader<'a> {
    signs: &'a [char],
    depth: usize,
}

impl Reader<'_> {
    fn takes(&mut self, wanted: &[char]) -> Option<char> {
        let next = *self.signs.first().filter(|sign| wanted.contains(sign))?;
        self.signs = &self.signs[1..];
        Some(next)
    }

    fn sum(&mut self) -> Result<Ratio, ToolError> {
        let mut left = self.product()?;
        while let Some(sign) = self.takes(&['+', '-', '−']) {
            let right = self.product()?;
            left = if sign == '+' { left.add(right) } else { left.add(right.negative()?) }?;
        }
        Ok(left)
    }

    fn product(&mut self) -> Result<Ratio, ToolError> {
        let mut left = self.signed()?;
        while let Some(sign) = self.takes(&['*', '×', '/', '÷', '%']) {
            let right = self.signed()?;
            left = match sign {
                '*' | '×' => left.multiply(right),
                '/' | '÷' => left.divide(right),
                _ => left.remainder(right),
            }?;
        }
        Ok(left)
    }

    fn signed(&mut self) -> Result<Ratio, ToolError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(ToolError::new("too_deep", format!("I follow nesting up to {MAX_DEPTH} levels.")));
        }
        let value = match self.takes(&['-', '−', '+']) {
            Some('+') => self.signed()?,
            Some(_) => self.signed()?.negative()?,
            None => self.power()?,
        };
        self.depth -= 1;
        Ok(value)
    }

    fn power(&mut self) -> Result<Ratio, ToolError> {
        let base = self.primary()?;
        match self.takes(&['^']) {
            Some(_) => base.power(self.signed()?),
            None => Ok(base),
        }
    }

    fn primary(&mut self) -> Result<Ratio, ToolError> {
        if self.takes(&['(']).is_some() {
            let value = self.sum()?;
            return match self.takes(&[')']) {
                Some(_) => Ok(value),
                None => Err(unexpected(self.signs.first().copied())),
            };
        }
        let length = self.signs.iter().take_while(|sign| sign.is_ascii_digit() || **sign == '.').count();
        let (number, rest) = self.signs.split_at(length);
        if number.is_empty() {
            return Err(unexpected(rest.first().copied()));
        }
        self.signs = rest;
        Ratio::read(number)
    }
}

fn unexpected(sign: Option<char>) -> ToolError {
    let message = match sign {
        None => "The expression is not complete.".to_owned(),
        Some(sign) => format!("I cannot read {sign:?} at its place in the expression."),
    };
    ToolError::new("invalid_expression", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(expression: &str) -> String {
        match calculate(ExpressionArguments { expression: expression.to_owned() }) {
            Ok(value) => value["result"].as_str().unwrap().to_owned(),
            Err(failure) => failure.code,
        }
    }

    #[test]
    fn expressions_by_table() {
        for (expression, expected) in [
            ("17*23", "391"),
            ("2 + 3 * 4", "14"),
            ("(2+3)*4", "20"),
            ("-2^2", "-4"),
            ("2^-2", "0.25"),
            ("2^3^2", "512"),
            ("7 % 3", "1"),
            ("-7 % 3", "2"),
            ("10 / 4", "2.5"),
            ("1/3", "1/3"),
            ("0.1 + 0.2", "0.3"),
            ("1/3 + 1/6", "0.5"),
            ("12 ÷ 4 × 3 − 1", "8"),
            ("2^100", "1267650600228229401496703205376"),
            ("0^0", "1"),
            ("1^999999999999", "1"),
            ("1/0", "division_by_zero"),
            ("5 % 0", "division_by_zero"),
            ("0^-1", "division_by_zero"),
            ("2^200", "too_large"),
            ("99999999999999999999999999999999999999999", "too_large"),
            ("2^0.5", "not_whole"),
            ("2+", "invalid_expression"),
            ("2 3 )", "invalid_expression"),
            ("1.2.3", "invalid_expression"),
            ("(1", "invalid_expression"),
            ("", "invalid_expression"),
        ] {
            assert_eq!(result(expression), expected, "{expression}");
        }
        assert_eq!(result(&"(".repeat(900)), "too_deep");
        assert_eq!(result(&"-".repeat(900)), "too_deep");
        assert_eq!(result(&"1+".repeat(900)), "too_long");
    }

    #[test]
    fn what_has_no_end_is_told_in_both_forms() {
        let third = calculate(ExpressionArguments { expression: "1/3".to_owned() }).unwrap();
        assert_eq!(third["approximation"], "0.33333333333333");
        let half = calculate(ExpressionArguments { expression: "1/2".to_owned() }).unwrap();
        assert!(half.get("approximation").is_none());
    }
}
