//! See `wireproof_fuzzing::token`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| wireproof_fuzzing::token(bytes));
