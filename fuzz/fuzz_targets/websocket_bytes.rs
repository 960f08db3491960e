//! See `wireproof_fuzzing::websocket_bytes`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| wireproof_fuzzing::websocket_bytes(bytes));
