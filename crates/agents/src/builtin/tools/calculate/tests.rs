//! Results by table, agreement with `i128`, and no panic whatever the text.

use proptest::prelude::*;

use super::*;

fn run(expression: &str) -> Result<Value, ToolFailure> {
    calculate(Arguments { expression: expression.to_owned() })
}

fn result(expression: &str) -> String {
    match run(expression) {
        Ok(result) => result["result"].as_str().unwrap().to_owned(),
        Err(failure) => failure.code,
    }
}

#[test]
fn arithmetic_by_table() {
    for (expression, expected) in [
        ("17*23", "391"),
        ("2^100", "1267650600228229401496703205376"),
        ("0.1 + 0.2", "0.3"),
        ("1/3", "1/3"),
        ("1/3 + 1/6", "0.5"),
        ("-2^2", "-4"),
        ("(-2)^2", "4"),
        ("2^-3", "0.125"),
        ("2^3^2", "512"),
        ("5!", "120"),
        ("15% of 80", "12"),
        ("15%", "0.15"),
        ("17 % 5", "2"),
        ("-17 mod 5", "3"),
        ("1,000,000 / 8", "125000"),
        ("max(1,000)", "1"),
        ("min(3, 1, 2)", "1"),
        ("gcd(12, 18)", "6"),
        ("lcm(4, 6, 10)", "60"),
        ("gcd(0, 0)", "0"),
        ("abs(-3.5)", "3.5"),
        ("sqrt(144)", "12"),
        ("sqrt(4/9)", "2/3"),
        ("√16 + 1", "5"),
        ("9^(1/2)", "3"),
        ("sqrt 2", "1.41421356237309504880168872420969807857"),
        ("pi", "3.141592653589793238462643383279502884197"),
        ("floor(-7/2)", "-4"),
        ("round(2.5)", "3"),
        ("2(3+4)", "14"),
        ("12 × 3 ÷ 4 − 1", "8"),
        ("5² + 2³", "33"),
        ("1e3 + 2.5e-1", "1000.25"),
        ("1^999999999999999999999", "1"),
        ("(-1)^999999999999999999999", "-1"),
        ("0^0", "1"),
    ] {
        assert_eq!(result(expression), expected, "{expression}");
    }
}

#[test]
fn failures_by_table() {
    for (expression, code) in [
        ("1/0", "division_by_zero"),
        ("5 mod 0", "division_by_zero"),
        ("0^-1", "division_by_zero"),
        ("9^9^9", "too_large"),
        ("99999!", "too_large"),
        ("1e999999", "too_large"),
        ("sqrt(-1)", "no_real_value"),
        ("(-3)!", "no_real_value"),
        ("2.5!", "not_whole"),
        ("2^0.3", "not_whole"),
        ("", "invalid_expression"),
        ("2 +", "invalid_expression"),
        ("2 * * 3", "invalid_expression"),
        ("foo(3)", "invalid_expression"),
        ("1.2.3", "invalid_expression"),
        ("🦀", "invalid_expression"),
        ("sqrt(1, 2)", "invalid_expression"),
        ("5 miles to kg", "incompatible_units"),
        ("-1 K to C", "no_real_value"),
    ] {
        assert_eq!(result(expression), code, "{expression}");
    }
    assert_eq!(result(&"(".repeat(900)), "too_deep");
    assert_eq!(result(&"-".repeat(900)), "too_deep");
    assert_eq!(result(&"1+".repeat(900)), "too_long");
}

#[test]
fn units_convert_exactly() {
    for (expression, expected, unit) in [
        ("5 miles to km", "8.04672", "km"),
        ("26.2mi in km", "42.1648128", "km"),
        ("100 f to c", "340/9", "°C"),
        ("-40 °C to °F", "-40", "°F"),
        ("0 K in celsius", "-273.15", "°C"),
        ("1 GiB to MB", "1073.741824", "MB"),
        ("8 Mb to MB", "1", "MB"),
        ("2 fl oz to tbsp", "4", "tbsp"),
        ("3 hours in minutes", "180", "min"),
        ("36 km/h to m/s", "10", "m/s"),
        ("(2+3) kg as g", "5000", "g"),
        ("12 in in cm", "30.48", "cm"),
    ] {
        let value = run(expression).unwrap();
        assert_eq!(
            (value["result"].as_str().unwrap(), value["unit"].as_str().unwrap()),
            (expected, unit),
            "{expression}"
        );
    }
}

#[test]
fn a_fraction_says_how_many_digits_its_decimal_has() {
    let value = run("2/3").unwrap();
    assert_eq!(value["approximation"], "0.66666666666666666667");
    assert_eq!((value["significant_digits"].as_u64(), value["exact"].as_bool()), (Some(20), Some(true)));
    assert_eq!(run("1/3^200").unwrap()["approximation"], "3.7648619495990264199e-96");
}

#[test]
fn the_worst_expressions_end_soon() {
    let start = std::time::Instant::now();
    for expression in ["3000! / 2999!", "(7/3)^14000", "10^6000 / 3^6000"] {
        let _ = run(expression);
    }
    let _ = run(&format!("sqrt({}2)", "3^9000*".repeat(90)));
    let _ = run(&vec!["(1/3)^6000"; 80].join("+"));
    assert!(start.elapsed().as_secs() < 5, "{:?}", start.elapsed());
}

/// An expression and its value where every step fits in `i128`.
fn expression() -> impl Strategy<Value = (String, Option<i128>)> {
    let leaf = (0i128..1_000_000).prop_map(|number| (number.to_string(), Some(number)));
    leaf.prop_recursive(5, 48, 2, |inner| {
        (inner.clone(), inner, prop::sample::select(vec!['+', '-', '*', '%'])).prop_map(
            |((a, x), (b, y), sign)| {
                let value = x.zip(y).and_then(|(x, y)| match sign {
                    '+' => x.checked_add(y),
                    '-' => x.checked_sub(y),
                    '*' => x.checked_mul(y),
                    _ if y == 0 => None,
                    _ => Some(x - y * (x.div_euclid(y) + if y < 0 && x.rem_euclid(y) != 0 { -1 } else { 0 })),
                });
                (format!("({a} {sign} {b})"), value)
            },
        )
    })
}

proptest! {
    #[test]
    fn agrees_with_i128((text, value) in expression()) {
        if let Some(value) = value {
            prop_assert_eq!(result(&text), if text.len() > MAX_EXPRESSION { "too_long".to_owned() } else { value.to_string() });
        }
    }

    #[test]
    fn no_text_panics(text in "\\PC{0,200}") {
        let _ = run(&text);
    }

    #[test]
    fn no_formula_panics(text in "[0-9.,+*/^%!() e_²√-]{0,120}") {
        let _ = run(&text);
    }

    #[test]
    fn no_words_panic(words in prop::collection::vec(prop::sample::select(vec![
        "sqrt", "(", ")", "max", "gcd", "lcm", ",", "12", "-3", "/", "%", "of", "!", "^", "miles", "to", "km", "in", "pi",
    ]), 0..30)) {
        let _ = run(&words.join(" "));
    }
}
