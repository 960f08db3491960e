//! See `wireproof_fuzzing::resume_query`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| wireproof_fuzzing::resume_query(bytes));
