//! See `wireproof_fuzzing::client_frame`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| wireproof_fuzzing::client_frame(bytes));
