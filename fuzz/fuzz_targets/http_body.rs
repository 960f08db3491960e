//! See `wireproof_fuzzing::http_body`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| wireproof_fuzzing::http_body(bytes));
