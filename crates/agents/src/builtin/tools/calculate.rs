//! The `calculate` tool: exact arithmetic over rationals and exact unit conversion, bounded in size and work.
//! Reading is in `lexer` and `parser`, the operations in `number`, writing in `notation`, units in `units`.

mod lexer;
mod notation;
mod number;
mod parser;
mod units;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::ToolFailure;

pub(crate) use parser::FUNCTIONS;
pub(crate) use units::{is_unit, joins_units};

/// What the tool says about itself.
pub(crate) const DESCRIPTION: &str = "Exact arithmetic on integers, decimals and fractions of any size: + - * / ^ \
    mod, parentheses, factorial (5!), percent (15% of 80), sqrt, abs, min, max, gcd, lcm, floor, ceil, round, pi; and \
    unit conversion (5 miles to km) of length, mass, temperature, volume, time, data and speed.";

/// Longest expression read, in bytes.
pub(crate) const MAX_EXPRESSION: usize = 1_000;

/// What to calculate.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct Arguments {
    /// An expression such as `17*23`, or a conversion such as `5 miles to km`.
    expression: String,
}

/// Evaluates the expression; the same text always gives the same result.
pub(crate) fn calculate(arguments: Arguments) -> Result<Value, ToolFailure> {
    let expression = arguments.expression.trim();
    if expression.len() > MAX_EXPRESSION {
        return Err(ToolFailure::new(
            "too_long",
            format!("The expression is longer than {MAX_EXPRESSION} characters."),
        ));
    }
    let (number, unit) = match units::read_conversion(expression) {
        Some(conversion) => (conversion.evaluate()?, Some(conversion.to_name())),
        None => (parser::evaluate(expression)?, None),
    };
    let written = notation::write(&number);
    let mut result = json!({ "expression": expression, "result": written.text, "exact": number.exact });
    if let Some((approximation, digits)) = written.approximation {
        result["approximation"] = approximation.into();
        result["significant_digits"] = digits.into();
    }
    if let Some(unit) = unit {
        result["unit"] = unit.into();
    }
    Ok(result)
}

#[cfg(test)]
mod tests;
