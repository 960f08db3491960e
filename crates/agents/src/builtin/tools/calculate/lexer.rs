//! Text to tokens: numbers exactly as written, names, and one-character signs.

use dashu_int::{IBig, UBig};
use dashu_ratio::RBig;

use crate::ToolFailure;

/// Largest power of ten a literal may carry, as in `1e1000`.
const MAX_LITERAL_EXPONENT: i64 = 5_000;

/// One word of an expression.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    /// A number, exactly.
    Number(RBig),
    /// A function, a constant or a word operator, in lower case.
    Name(String),
    /// One of `+ - * / ^ % ! ( ) ,`.
    Sign(char),
}

/// Reads all tokens of `text`.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, ToolFailure> {
    let characters: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    // One entry an open parenthesis: whether it belongs to a function, where a comma parts arguments.
    let mut calls = Vec::new();
    let mut at = 0;
    while let Some(&character) = characters.get(at) {
        match character {
            _ if character.is_whitespace() => at += 1,
            '0'..='9' | '.' => {
                let in_call = calls.last().copied().unwrap_or(false);
                let (number, end) = number(&characters, at, !in_call)?;
                tokens.push(Token::Number(number));
                at = end;
            }
            '*' if characters.get(at + 1) == Some(&'*') => {
                tokens.push(Token::Sign('^'));
                at += 2;
            }
            '√' => {
                tokens.push(Token::Name("sqrt".to_owned()));
                at += 1;
            }
            '²' | '³' => {
                tokens.push(Token::Sign('^'));
                tokens.push(Token::Number(RBig::from(if character == '²' { 2 } else { 3 })));
                at += 1;
            }
            _ if character.is_alphabetic() => {
                let end = end_of_name(&characters, at);
                tokens.push(Token::Name(characters[at..end].iter().collect::<String>().to_lowercase()));
                at = end;
            }
            _ => {
                let sign = sign(character)?;
                match sign {
                    '(' => calls.push(matches!(tokens.last(), Some(Token::Name(name)) if name != "of")),
                    ')' => drop(calls.pop()),
                    _ => {}
                }
                tokens.push(Token::Sign(sign));
                at += 1;
            }
        }
    }
    Ok(tokens)
}

fn end_of_name(characters: &[char], start: usize) -> usize {
    let length = characters[start..].iter().take_while(|character| character.is_alphabetic()).count();
    start + length
}

/// The plain sign that a typographic one stands for.
fn sign(character: char) -> Result<char, ToolFailure> {
    match character {
        '+' | '-' | '*' | '/' | '^' | '%' | '!' | '(' | ')' | ',' => Ok(character),
        '×' | '·' | '∙' | '⋅' => Ok('*'),
        '÷' | '∕' => Ok('/'),
        '−' | '–' => Ok('-'),
        _ => Err(ToolFailure::new(
            "invalid_expression",
            format!("I cannot read {character:?} in the expression."),
        )),
    }
}

/// Reads digits, `_` and (if `grouped`) `1,000` groups, a fraction and an exponent; gives the end.
fn number(characters: &[char], start: usize, grouped: bool) -> Result<(RBig, usize), ToolFailure> {
    let digit = |at: usize| characters.get(at).is_some_and(char::is_ascii_digit);
    let group = |at: usize| grouped && (at + 1..at + 4).all(digit) && !digit(at + 4);
    let (mut digits, mut places, mut at, mut seen_point) = (String::new(), 0i64, start, false);
    while let Some(&character) = characters.get(at) {
        match character {
            '0'..='9' => {
                digits.push(character);
                places += i64::from(seen_point);
            }
            '.' if !seen_point && (digit(at + 1) || !digits.is_empty()) => seen_point = true,
            '_' if digit(at + 1) => {}
            ',' if !seen_point && group(at) => {}
            _ => break,
        }
        at += 1;
    }
    let (exponent, end) = exponent(characters, at)?;
    let mantissa = UBig::from_str_radix(&digits, 10)
        .map_err(|_| ToolFailure::new("invalid_expression", "A number in the expression is not complete."))?;
    Ok((scaled(mantissa, exponent - places), end))
}

/// Reads `e10`, `E-3`; a lone `e` belongs to something else.
fn exponent(characters: &[char], at: usize) -> Result<(i64, usize), ToolFailure> {
    if !matches!(characters.get(at), Some('e' | 'E')) {
        return Ok((0, at));
    }
    let negative = matches!(characters.get(at + 1), Some('-'));
    let first = at + 1 + usize::from(matches!(characters.get(at + 1), Some('-' | '+')));
    let digits: String =
        characters[first.min(characters.len())..].iter().take_while(|c| c.is_ascii_digit()).collect();
    if digits.is_empty() {
        return Ok((0, at));
    }
    let size = digits.parse::<i64>().ok().filter(|size| *size <= MAX_LITERAL_EXPONENT).ok_or_else(|| {
        ToolFailure::new("too_large", format!("An exponent in a number is at most {MAX_LITERAL_EXPONENT}."))
    })?;
    Ok((if negative { -size } else { size }, first + digits.len()))
}

fn scaled(mantissa: UBig, power_of_ten: i64) -> RBig {
    let power = UBig::from(10u8).pow(power_of_ten.unsigned_abs() as usize);
    if power_of_ten < 0 {
        RBig::from_parts(IBig::from(mantissa), power)
    } else {
        RBig::from(mantissa * power)
    }
}
