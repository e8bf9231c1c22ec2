//! Values and gradients do not depend on how many threads compute them.

use mudi_engine_candle::{CandleEngine, backward};
use mudi_engine_cases::{cases, inputs};

mod common;
use common::{seed, tensors, values};

#[test]
fn every_operation_gives_the_same_bits_on_any_number_of_threads() {
    let mut differing = Vec::new();
    for case in cases() {
        let at = inputs(&case);
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a few threads");
            pool.scope(|_| {
                let leaves = tensors(&case, &at, |_| true);
                let y = (case.run)(&CandleEngine::cpu(), &leaves).expect("the shapes fit");
                let gradients = backward(&[(&y, seed(&y))]).expect("a first backward pass");
                let mut all = vec![values(y.value())];
                all.extend(leaves.iter().filter_map(|leaf| gradients.get(leaf)).map(values));
                all
            })
        };
        let one = on(1);
        for threads in [2, 3, 5] {
            for (index, (one, more)) in one.iter().zip(&on(threads)).enumerate() {
                if one != more {
                    differing.push(format!("{}: result {index} on {threads} threads", case.name));
                }
            }
        }
    }
    assert!(differing.is_empty(), "{differing:#?}");
}
