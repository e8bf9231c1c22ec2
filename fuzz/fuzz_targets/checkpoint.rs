#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = mudi_tests::outside::checkpoint(bytes);
});
