//! What model servers send that is not as the documents say, each with the turn or the error that it gives.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use serde_json::{Value, json};
use wireproof_model::{Bounds, Piece, StreamError, Turn, TurnReader};

fn read_in(bytes: &[u8], size: usize, bounds: Bounds) -> Result<Turn, StreamError> {
    let mut reader = TurnReader::new(bounds);
    let mut pieces = Vec::new();
    for chunk in bytes.chunks(size) {
        pieces.extend(reader.push(chunk)?);
    }
    let (last, turn) = reader.finish("call")?;
    let (mut reasoning, mut text) = (String::new(), String::new());
    for piece in pieces.into_iter().chain(last) {
        match piece {
            Piece::Reasoning(piece) => reasoning += &piece,
            Piece::Text(piece) => text += &piece,
        }
    }
    assert_eq!((&reasoning, &text), (&turn.reasoning, &turn.text), "the pieces make the turn");
    Ok(turn)
}

fn read(body: &str) -> Result<Turn, StreamError> {
    read_in(body.as_bytes(), body.len().max(1), Bounds::default())
}

fn stream(chunks: &[Value]) -> String {
    chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).collect::<String>() + "data: [DONE]\n\n"
}

fn deltas(deltas: &[Value]) -> String {
    let chunks: Vec<_> = deltas.iter().map(|delta| json!({"choices": [{"delta": delta}]})).collect();
    stream(&chunks)
}

/// The calls of a stream as `id name arguments`.
fn calls(pieces: &[Value]) -> Vec<String> {
    let parts: Vec<_> = pieces.iter().map(|piece| json!({"tool_calls": [piece]})).collect();
    let calls = read(&deltas(&parts)).unwrap().tool_calls.into_iter();
    calls.map(|call| format!("{} {} {}", call.id, call.name, json!(call.arguments.unwrap()))).collect()
}

#[test]
fn text_and_every_spelling_of_reasoning_are_read() {
    for name in ["reasoning_content", "reasoning", "thinking"] {
        let turn = read(&deltas(&[
            json!({name: "why"}),
            json!({"role": "assistant"}),
            json!({"content": "so"}),
            json!({}),
        ]));
        let turn = turn.unwrap();
        assert_eq!((turn.reasoning.as_str(), turn.text.as_str()), ("why", "so"), "{name}");
    }
    let twice = read(&deltas(&[json!({"reasoning": "why", "reasoning_content": "why"})])).unwrap();
    assert_eq!(twice.reasoning, "why");
    assert_eq!(read(&deltas(&[json!({"content": [{"type": "text", "text": "a"}]})])).unwrap().text, "a");
}

#[test]
fn the_end_is_told_by_done_or_by_a_reason() {
    let part = |reason: Value| {
        format!("data: {}\n\n", json!({"choices": [{"delta": {"content": "a"}, "finish_reason": reason}]}))
    };
    assert_eq!(read(&part(Value::Null)), Err(StreamError::Cut));
    assert_eq!(read(&part(json!(""))), Err(StreamError::Cut));
    assert_eq!(read(""), Err(StreamError::Cut));
    assert_eq!(read(&part(json!("odd"))).unwrap().finish_reason.as_deref(), Some("odd"));
    assert_eq!(
        read(&(part(json!("stop")) + &part(Value::Null))).unwrap().text,
        "aa",
        "text after the reason counts"
    );
    assert_eq!(read(&(part(Value::Null) + "data: [DONE]\n\ndata: rubbish\n\n")).unwrap().text, "a");
    assert_eq!(read(&(part(Value::Null) + "data:[DONE]")).unwrap().text, "a", "no blank line at the end");
}

#[test]
fn usage_is_the_last_report() {
    let report =
        |input: u64| json!({"choices": [], "usage": {"prompt_tokens": input, "completion_tokens": 2}});
    let tokens =
        |body: String| read(&body).unwrap().usage.map(|usage| (usage.input_tokens, usage.total_tokens));
    assert_eq!(tokens(stream(&[report(3)])), Some((3, 5)));
    assert_eq!(tokens(stream(&[report(3), report(4), json!({"usage": {}})])), Some((4, 6)));
    assert_eq!(tokens(stream(&[json!({"usage": null})])), None);
}

#[test]
fn tool_calls_are_put_together() {
    let call = |more: Value, name: &str, arguments: Value| {
        let mut call = more;
        call["function"] = json!({"name": name, "arguments": arguments});
        call
    };
    // The id in the first piece only.
    let pieces = [
        call(json!({"index": 0, "id": "a"}), "f", json!("{\"x\":")),
        call(json!({"index": 0}), "", json!("1}")),
    ];
    assert_eq!(calls(&pieces), ["a f {\"x\":1}"]);
    // The id and the name in every piece.
    let pieces = [
        call(json!({"index": 0, "id": "a"}), "f", json!("{")),
        call(json!({"index": 0, "id": "a"}), "f", json!("}")),
    ];
    assert_eq!(calls(&pieces), ["a f {}"]);
    // One index for two calls, with ids, then without.
    let pieces = [
        call(json!({"index": 0, "id": "a"}), "f", json!("{}")),
        call(json!({"index": 0, "id": "b"}), "f", json!("{}")),
    ];
    assert_eq!(calls(&pieces), ["a f {}", "b f {}"]);
    let pieces =
        [call(json!({"index": 0}), "f", json!("{}")), call(json!({"index": 0}), "f", json!({"x": 1}))];
    assert_eq!(calls(&pieces), ["call_0 f {}", "call_1 f {\"x\":1}"]);
    // No index: with ids, and without anything; no arguments at all.
    let pieces = [call(json!({"id": "a"}), "f", json!("")), call(json!({"id": "b"}), "g", Value::Null)];
    assert_eq!(calls(&pieces), ["a f {}", "b g {}"]);
    let pieces =
        [call(json!({}), "f", json!("{")), call(json!({}), "", json!("}")), call(json!({}), "g", json!(""))];
    assert_eq!(calls(&pieces), ["call_0 f {}", "call_1 g {}"]);
    // Two calls whose pieces come in turn, under one id.
    let pieces = [
        call(json!({"index": 0, "id": "a"}), "f", json!("{\"x\":")),
        call(json!({"index": 1, "id": "a"}), "g", json!("{\"x\":")),
        call(json!({"index": 0}), "", json!("1}")),
        call(json!({"index": 1}), "", json!("2}")),
    ];
    assert_eq!(calls(&pieces), ["a f {\"x\":1}", "call_1 g {\"x\":2}"]);
    assert_eq!(calls(&[json!({"index": 0}), json!({})]), [""; 0], "empty pieces are no calls");
}

/// An id made for a call without one was that of an earlier call.
#[test]
fn ids_made_here_are_not_those_of_the_server() {
    let call = |id: &str, name: &str| json!({"id": id, "function": {"name": name}});
    assert_eq!(calls(&[call("call_1", "f"), call("", "g")]), ["call_1 f {}", "call_2 g {}"]);
}

#[test]
fn bad_arguments_are_kept_as_text_and_a_call_without_a_name_is_refused() {
    let part = |function: Value| deltas(&[json!({"tool_calls": [{"index": 0, "function": function}]})]);
    let turn = read(&part(json!({"name": "f", "arguments": "[1"}))).unwrap();
    assert_eq!(turn.tool_calls[0].arguments, Err("[1".to_owned()));
    assert_eq!(read(&part(json!({"arguments": "{}"}))), Err(StreamError::Malformed));
}

#[test]
fn a_json_body_in_place_of_a_stream_is_a_turn() {
    let body = json!({"choices": [{"message": {"content": "a"}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 1}});
    for text in [body.to_string(), format!("\u{feff}\n{body:#}\n")] {
        assert_eq!(read(&text).unwrap().text, "a");
    }
    assert_eq!(read(&body.to_string()[..20]), Err(StreamError::Malformed));
}

#[test]
fn what_is_no_answer_is_refused() {
    let error = json!({"error": {"message": "key sk-secret is wrong"}});
    assert_eq!(read(&error.to_string()), Err(StreamError::Reported));
    let within = stream(&[json!({"choices": [{"delta": {"content": "a"}}]}), error]);
    assert_eq!(read(&within), Err(StreamError::Reported));
    assert_eq!(read("\n<!doctype html><p>Bad gateway"), Err(StreamError::NotAStream));
    assert_eq!(read("Bad gateway"), Err(StreamError::Cut));
    assert_eq!(read("data: {\n\n"), Err(StreamError::Malformed));
    assert_eq!(read("data: 1\n\n"), Err(StreamError::Malformed));
}

#[test]
fn a_turn_is_bounded() {
    let bounds = Bounds { line_bytes: 200, turn_bytes: 10, tool_calls: 1 };
    let size = |body: &str| read_in(body.as_bytes(), 7, bounds);
    assert!(size(&deltas(&[json!({"content": "0123456789"})])).is_ok());
    assert_eq!(
        size(&deltas(&[json!({"content": "012345"}), json!({"reasoning": "67890"})])),
        Err(StreamError::TooLarge)
    );
    let call = |id: &str| json!({"tool_calls": [{"id": id, "function": {"name": "f"}}]});
    assert_eq!(size(&deltas(&[call("a"), call("b")])), Err(StreamError::TooLarge));
    assert_eq!(size(&" ".repeat(300)), Err(StreamError::TooLarge));
    assert_eq!(size(&format!("{{\"x\": \"{}\"}}", "y".repeat(300))), Err(StreamError::TooLarge));
}

proptest! {
    #[test]
    fn any_chunking_gives_the_same_turn(text in "\\PC{0,40}", size in 1usize..40, end in prop::sample::select(vec!["\n", "\r", "\r\n"])) {
        let call = json!({"tool_calls": [{"function": {"name": "f", "arguments": {"x": text}}}]});
        let body = deltas(&[json!({"reasoning": text}), json!({"content": text}), call]).replace('\n', end);
        let body = format!("\u{feff}: comment{end}{end}{body}");
        let turn = read_in(body.as_bytes(), size, Bounds::default());
        prop_assert_eq!(&turn, &read(&body));
        prop_assert_eq!(turn.unwrap().text, text);
    }

    #[test]
    fn any_bytes_give_a_turn_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..300), size in 1usize..40) {
        let whole = read_in(&bytes, bytes.len().max(1), Bounds::default());
        prop_assert_eq!(read_in(&bytes, size, Bounds::default()), whole);
    }
}
