//! Dates, times and zones by table.

use super::*;

fn run(arguments: Value) -> Result<Value, String> {
    date_time(serde_json::from_value(arguments).unwrap()).map_err(|failure| failure.code)
}

#[test]
fn weekdays_by_table() {
    for (date, expected, weekday) in [
        ("2024-02-29", "2024-02-29", "Thursday"),
        ("29 February 2024", "2024-02-29", "Thursday"),
        ("the 29th of Feb, 2024", "2024-02-29", "Thursday"),
        ("July 4, 1776", "1776-07-04", "Thursday"),
        ("2000/1/1", "2000-01-01", "Saturday"),
    ] {
        let result = run(json!({ "operation": "weekday", "date": date })).unwrap();
        assert_eq!((result["date"].as_str(), result["weekday"].as_str()), (Some(expected), Some(weekday)));
    }
}

#[test]
fn differences_and_sums() {
    let between =
        run(json!({ "operation": "between", "date": "2024-01-01", "other_date": "2024-12-25" })).unwrap();
    assert_eq!(between["days"], 359);
    let sum = json!({ "operation": "add", "date": "2024-01-31", "amount": 1, "unit": "months" });
    assert_eq!(run(sum).unwrap()["date"], "2024-02-29");
    let back = json!({ "operation": "add", "date": "2024-03-01", "amount": -2, "unit": "weeks" });
    assert_eq!(run(back).unwrap()["date"], "2024-02-16");
}

#[test]
fn clocks_convert_between_zones() {
    for (time, from, to, expected) in [
        ("15:00", "Berlin", "Asia/Tokyo", "23:00:00"),
        ("3:30 pm", "UTC", "mumbai", "21:00:00"),
        ("noon", "new york", "san francisco", "09:00:00"),
        ("12 am", "utc", "Europe/Paris", "01:00:00"),
    ] {
        let arguments = json!({
            "operation": "convert", "time": time, "zone": from, "to_zone": to, "date": "2024-01-15"
        });
        assert_eq!(run(arguments).unwrap()["to"]["time"], expected, "{time} {from} {to}");
    }
}

#[test]
fn now_is_now() {
    let now = run(json!({ "operation": "now", "zone": "Asia/Kathmandu" })).unwrap();
    assert_eq!(now["utc_offset"], "+05:45");
    let moment: Timestamp = now["iso"].as_str().unwrap().parse().unwrap();
    assert!((Timestamp::now().as_second() - moment.as_second()).abs() < 60);
}

#[test]
fn failures_by_table() {
    for (arguments, code) in [
        (json!({ "operation": "now", "zone": "Atlantis" }), "unknown_zone"),
        (json!({ "operation": "weekday", "date": "2023-02-29" }), "invalid_date"),
        (json!({ "operation": "weekday", "date": "1/2/2024" }), "invalid_date"),
        (json!({ "operation": "between", "date": "today" }), "invalid_arguments"),
        (json!({ "operation": "add", "amount": i64::MAX }), "out_of_range"),
        (json!({ "operation": "add", "amount": 9_000_000 }), "out_of_range"),
        (json!({ "operation": "convert", "time": "25:00", "to_zone": "UTC" }), "invalid_time"),
    ] {
        assert_eq!(run(arguments.clone()).unwrap_err(), code, "{arguments}");
    }
}

#[test]
fn dates_and_times_are_found_among_words() {
    let words: Vec<&str> = "what day was the 29th of February 2024 at 3:30 pm in Berlin".split(' ').collect();
    assert_eq!(find_date(&words), Some((3, 8)));
    assert_eq!(find_time(&words), Some((9, 11)));
    assert_eq!(find_date(&["1", "may", "2024-01-01"]), Some((0, 2)));
    assert_eq!(find_time(&["at", "7"]), None);
}
