#![allow(clippy::unwrap_used, reason = "tests may panic")]

use std::path::Path;
use std::sync::Arc;

use candle_core::{Device, Tensor as Value};
use mudi_diffusion::parse;
use proptest::prelude::*;

use super::*;
use crate::weights::{FileWeights, NamedTensors, Precision, to_safetensors};

/// A UNet of one attention, and its layers.
fn base(context: usize) -> (UNetConfig, Layers) {
    let json = format!(
        r#"{{"in_channels": 4, "out_channels": 4, "block_out_channels": [8], "down_block_types": ["CrossAttnDownBlock2D"],
        "up_block_types": ["CrossAttnUpBlock2D"], "layers_per_block": 1, "attention_head_dim": 2, "norm_num_groups": 4,
        "cross_attention_dim": {context}, "use_linear_projection": true}}"#
    );
    let unet: UNetConfig = parse(&json).unwrap();
    let layers = layers(&unet, &[]).unwrap();
    (unet, layers)
}

const CONTEXT: usize = 6;
const CONV: &str = "down_blocks.0.resnets.0.conv1";
const KEY: &str = "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k";

fn values(seed: u32, shape: &[usize]) -> Value {
    let count: usize = shape.iter().product();
    let value = |index: usize| ((index as u32 * 97 + seed * 31) % 23) as f32 / 23.0 - 0.4;
    Value::from_vec((0..count).map(value).collect(), shape, &Device::Cpu).unwrap()
}

fn file(layer: &str, parts: &[(&str, Value)]) -> LoraFile {
    let tensors: NamedTensors =
        parts.iter().map(|(part, value)| (format!("{layer}.{part}"), value.clone())).collect();
    LoraFile::from_tensors(Path::new("some.safetensors"), tensors, None).unwrap()
}

fn number(value: f32) -> Value {
    Value::new(value, &Device::Cpu).unwrap()
}

fn applied(layer: &str, parts: &[(&str, Value)], weight: &Value, strength: f32) -> Vec<f32> {
    let (_, layers) = base(CONTEXT);
    let mut stack = Stack::default();
    stack.push(file(&format!("lora_unet_{}", layer.replace('.', "_")), parts), strength, &layers).unwrap();
    let value = stack.apply(Component::Unet, &format!("{layer}.weight"), weight.clone()).unwrap();
    assert_eq!(value.dims(), weight.dims());
    value.flatten_all().unwrap().to_vec1().unwrap()
}

fn flat(value: &Value) -> Vec<f32> {
    value.flatten_all().unwrap().to_vec1().unwrap()
}

fn close(found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len());
    for (index, (a, b)) in found.iter().zip(expected).enumerate() {
        assert!((a - b).abs() < 1e-5, "{index}: {a} is not {b}");
    }
}

/// With `--precision half` a file's f16 stays f16 on the processor, which has three bits more than bf16, whether a LoRA is added or not.
#[test]
fn adapted_weights_are_held_in_the_type_that_the_file_has() {
    let (_, layers) = base(CONTEXT);
    let weight = values(1, &[8, CONTEXT]).to_dtype(DType::F16).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let name = format!("{KEY}.weight");
    let tensors = NamedTensors::from([(name.clone(), weight.clone())]);
    std::fs::write(&path, to_safetensors(&tensors, None).unwrap()).unwrap();
    // A card's engine converts them once, and not at each use.
    let card = CandleEngine::composed(Device::Cpu, DType::BF16).unwrap();
    for (engine, alpha, dtype) in [
        (CandleEngine::cpu(), 1.0, DType::F16),
        (CandleEngine::cpu(), 1e7, DType::BF16),
        (card, 1.0, DType::BF16),
    ] {
        let parts = [
            ("lora_down.weight", values(2, &[2, CONTEXT])),
            ("lora_up.weight", values(3, &[8, 2])),
            ("alpha", number(alpha)),
        ];
        let mut stack = Stack::default();
        stack.push(file(&format!("unet.{KEY}"), &parts), 1.0, &layers).unwrap();
        let expected = stack.apply(Component::Unet, &name, weight.clone()).unwrap();
        let expected = expected.to_dtype(dtype).unwrap().to_dtype(DType::F32).unwrap();
        let mut weights = FileWeights::open_as(&engine, &path, Precision::Half)
            .unwrap()
            .adapted(Component::Unet, &Arc::new(stack));
        let found = weights.build(|source| source.get(&name, &[8, CONTEXT], ParameterKind::Linear)).unwrap();
        assert_eq!(found.value().dtype(), dtype, "{alpha}");
        assert_eq!(flat(&found.value().to_dtype(DType::F32).unwrap()), flat(&expected), "{alpha}");
    }
}

/// Sums written out, as the papers have them.
#[test]
fn every_kind_adds_what_its_paper_says() {
    let (outputs, inputs, rank, alpha) = (8, CONTEXT, 2, 3.0);
    let weight = values(1, &[outputs, inputs]);
    let at = |value: &Value, row: usize, column: usize| {
        let columns: usize = value.dims()[1..].iter().product();
        flat(value)[row * columns + column]
    };
    let product = |a: &Value, b: &Value, o: usize, i: usize| -> f32 {
        (0..a.dims()[1]).map(|r| at(a, o, r) * at(b, r, i)).sum()
    };
    let expect = |delta: &dyn Fn(usize, usize) -> f32| -> Vec<f32> {
        (0..outputs * inputs)
            .map(|n| at(&weight, n / inputs, n % inputs) + delta(n / inputs, n % inputs))
            .collect()
    };
    let (down, up) = (values(2, &[rank, inputs]), values(3, &[outputs, rank]));
    let scale = alpha / rank as f32;
    let lora = [("lora_down.weight", down.clone()), ("lora_up.weight", up.clone()), ("alpha", number(alpha))];
    close(&applied(KEY, &lora, &weight, 0.5), &expect(&|o, i| 0.5 * scale * product(&up, &down, o, i)));

    let (a1, b1) = (values(4, &[outputs, rank]), values(5, &[rank, inputs]));
    let (a2, b2) = (values(6, &[outputs, rank]), values(7, &[rank, inputs]));
    let loha = [
        ("hada_w1_a", a1.clone()),
        ("hada_w1_b", b1.clone()),
        ("hada_w2_a", a2.clone()),
        ("hada_w2_b", b2.clone()),
    ];
    close(
        &applied(KEY, &loha, &weight, 1.0),
        &expect(&|o, i| product(&a1, &b1, o, i) * product(&a2, &b2, o, i)),
    );

    let (w1, w2a, w2b) = (values(8, &[4, 2]), values(9, &[2, rank]), values(10, &[rank, 3]));
    let lokr = [
        ("lokr_w1", w1.clone()),
        ("lokr_w2_a", w2a.clone()),
        ("lokr_w2_b", w2b.clone()),
        ("alpha", number(alpha)),
    ];
    let kronecker = |o: usize, i: usize| scale * at(&w1, o / 2, i / 3) * product(&w2a, &w2b, o % 2, i % 3);
    close(&applied(KEY, &lokr, &weight, 1.0), &expect(&kronecker));

    let magnitude = values(11, &[outputs]);
    let dora = [
        ("lora_A.weight", down.clone()),
        ("lora_B.weight", up.clone()),
        ("lora_magnitude_vector", magnitude.clone()),
    ];
    let directed: Vec<f32> = expect(&|o, i| product(&up, &down, o, i));
    let expected: Vec<f32> = directed
        .chunks(inputs)
        .zip(flat(&magnitude))
        .flat_map(|(row, m)| {
            let norm = row.iter().map(|v| v * v).sum::<f32>().sqrt();
            row.iter().map(move |v| v * m / norm).collect::<Vec<_>>()
        })
        .collect();
    close(&applied(KEY, &dora, &weight, 1.0), &expected);
}

/// LyCORIS' magnitudes are a column, of outputs, or a row, of inputs: told apart in a square layer, too.
#[test]
fn magnitudes_are_of_outputs_or_of_inputs() {
    let weight = values(1, &[8, 8]);
    let (down, up) = (values(2, &[2, 8]), values(3, &[8, 2]));
    let lengths = values(4, &[8]);
    let (w, a, b, m) = (flat(&weight), flat(&down), flat(&up), flat(&lengths));
    let directed = |o: usize, i: usize| w[o * 8 + i] + b[o * 2] * a[i] + b[o * 2 + 1] * a[8 + i];
    let norm = |at: &dyn Fn(usize) -> f32| (0..8).map(|n| at(n).powi(2)).sum::<f32>().sqrt();
    let parts = |shape: (usize, usize)| {
        [
            ("lora_down.weight", down.clone()),
            ("lora_up.weight", up.clone()),
            ("dora_scale", lengths.reshape(shape).unwrap()),
        ]
    };
    let layer = KEY.replace("attn2", "attn1");
    let expect = |length: &dyn Fn(usize, usize) -> f32| -> Vec<f32> {
        (0..64).map(|n| directed(n / 8, n % 8) * length(n / 8, n % 8)).collect()
    };
    let of_outputs = expect(&|o, _| m[o] / norm(&|i| directed(o, i)));
    close(&applied(&layer, &parts((8, 1)), &weight, 1.0), &of_outputs);
    let of_inputs = expect(&|_, i| m[i] / norm(&|o| directed(o, i)));
    close(&applied(&layer, &parts((1, 8)), &weight, 1.0), &of_inputs);

    // PEFT has none of inputs.
    let (unet, layers) = base(CONTEXT);
    let target = Target { layers: &layers, unet: &unet, prediction: Default::default(), resolution: 512 };
    let name = format!("lora_unet_{}", layer.replace('.', "_"));
    let refused = translate(file(&name, &parts((1, 8))), Dialect::Peft, target, "a title").unwrap_err();
    assert!(refused.to_string().contains("of inputs") && refused.to_string().contains("kohya"), "{refused}");
    assert!(translate(file(&name, &parts((1, 8))), Dialect::Kohya, target, "a title").is_ok());
    let attachment = Attachment::new(file(&name, &parts((1, 8))), &layers).unwrap();
    let mut network = UNet::<CandleEngine>::new(unet, &mut Shapes::default()).unwrap();
    let refused = attachment.attach(Component::Unet, network.adaptable()).unwrap_err();
    assert!(refused.to_string().contains("--lora") && refused.to_string().contains(&name), "{refused}");
}

#[test]
fn a_core_makes_a_convolution() {
    let weight = values(1, &[8, 8, 3, 3]);
    let (up, core, down) = (values(2, &[8, 2, 1, 1]), values(3, &[2, 2, 3, 3]), values(4, &[2, 8, 1, 1]));
    let lora = [
        ("lora_up.weight", up.clone()),
        ("lora_mid.weight", core.clone()),
        ("lora_down.weight", down.clone()),
    ];
    let (u, c, d) = (flat(&up), flat(&core), flat(&down));
    let expected: Vec<f32> = flat(&weight)
        .iter()
        .enumerate()
        .map(|(n, w)| {
            let (o, i, k) = (n / 72, n / 9 % 8, n % 9);
            let sum: f32 = (0..4).map(|pq| u[o * 2 + pq / 2] * c[pq * 9 + k] * d[pq % 2 * 8 + i]).sum();
            w + sum
        })
        .collect();
    close(&applied(CONV, &lora, &weight, 1.0), &expected);
    // Without a core the first factor is the convolution.
    let (up, down) = (values(5, &[8, 2, 1, 1]), values(6, &[2, 8, 3, 3]));
    let lora = [("lora_up.weight", up.clone()), ("lora_down.weight", down.clone())];
    let (u, d) = (flat(&up), flat(&down));
    let expected: Vec<f32> = flat(&weight)
        .iter()
        .enumerate()
        .map(|(n, w)| w + u[n / 72 * 2] * d[n % 72] + u[n / 72 * 2 + 1] * d[72 + n % 72])
        .collect();
    close(&applied(CONV, &lora, &weight, 1.0), &expected);
}

/// LyCORIS' full training, and what it and others train beside factors.
#[test]
fn differences_are_added_as_they_are() {
    let (unet, layers) = base(CONTEXT);
    let sum = |value: &Value, difference: &Value, strength: f32| -> Vec<f32> {
        flat(value).iter().zip(flat(difference)).map(|(a, b)| a + strength * b).collect()
    };
    let (weight, difference) = (values(1, &[8, CONTEXT]), values(2, &[8, CONTEXT]));
    close(&applied(KEY, &[("diff", difference.clone())], &weight, 0.5), &sum(&weight, &difference, 0.5));
    // A base that has it as a convolution.
    let wide = weight.reshape((8, CONTEXT, 1, 1)).unwrap();
    close(&applied(KEY, &[("diff", difference.clone())], &wide, 1.0), &sum(&weight, &difference, 1.0));

    let norm = "down_blocks.0.attentions.0.transformer_blocks.0.norm2";
    let all = NamedTensors::from([
        (format!("lora_unet_{}.w_norm", norm.replace('.', "_")), values(3, &[8])),
        (format!("lora_unet_{}.b_norm", norm.replace('.', "_")), values(4, &[8])),
        // Beside plain factors.
        (format!("lora_unet_{}.lora_down.weight", CONV.replace('.', "_")), values(5, &[2, 8, 3, 3])),
        (format!("lora_unet_{}.lora_up.weight", CONV.replace('.', "_")), values(6, &[8, 2, 1, 1])),
        (format!("lora_unet_{}.diff_b", CONV.replace('.', "_")), values(7, &[8])),
    ]);
    let read = || LoraFile::from_tensors(Path::new("some.safetensors"), all.clone(), None).unwrap();
    let mut stack = Stack::default();
    stack.push(read(), 2.0, &layers).unwrap();
    let own = values(8, &[8]);
    let of = |name: String| flat(&stack.apply(Component::Unet, &name, own.clone()).unwrap());
    close(&of(format!("{norm}.weight")), &sum(&own, &values(3, &[8]), 2.0));
    close(&of(format!("{norm}.bias")), &sum(&own, &values(4, &[8]), 2.0));
    close(&of(format!("{CONV}.bias")), &sum(&own, &values(7, &[8]), 2.0));
    close(&of("conv_in.bias".to_owned()), &flat(&own));
    let wrong = stack.apply(Component::Unet, &format!("{CONV}.bias"), values(8, &[4])).unwrap_err();
    assert!(wrong.to_string().contains("[8]") && wrong.to_string().contains("[4]"), "{wrong}");

    // kohya's names keep all of it; what cannot is said.
    let target = Target { layers: &layers, unet: &unet, prediction: Default::default(), resolution: 512 };
    let (written, _) = translate(read(), Dialect::Kohya, target, "a title").unwrap();
    let ends = [".w_norm", ".b_norm", ".diff_b", ".lora_down.weight"];
    assert!(ends.iter().all(|end| written.keys().any(|name| name.ends_with(end))), "{:?}", written.keys());
    let refused = translate(read(), Dialect::Peft, target, "a title").unwrap_err().to_string();
    assert!(refused.contains("kohya"), "{refused}");
    let mut network = UNet::<CandleEngine>::new(unet.clone(), &mut Shapes::default()).unwrap();
    let attachment = Attachment::new(read(), &layers).unwrap();
    assert!(attachment.attach(Component::Unet, network.adaptable()).is_err());
}

#[test]
fn what_does_not_fit_is_named() {
    let (_, layers) = base(CONTEXT);
    let factors =
        |inputs| [("lora_A.weight", values(1, &[2, inputs])), ("lora_B.weight", values(2, &[8, 2]))];
    let error = |layer: &str, parts: &[(&str, Value)]| {
        let mut stack = Stack::default();
        let pushed = stack.push(file(layer, parts), 1.0, &layers);
        let weight = values(3, &[8, CONTEXT]);
        let applied = pushed.and_then(|()| stack.apply(Component::Unet, &format!("{KEY}.weight"), weight));
        applied.unwrap_err().to_string()
    };
    let of = |error: String, words: &[&str]| {
        for word in words {
            assert!(error.contains(word), "{word:?} is not in: {error}");
        }
    };
    of(error(&format!("unet.{KEY}"), &factors(2048)), &["some.safetensors", "SDXL", "2048", "6 values"]);
    of(error("unet.down_blocks.7.to_q", &factors(8)), &["1 of its 1 layers", "down_blocks.7"]);
    of(error(&format!("unet.{KEY}"), &factors(CONTEXT)[..1]), &[KEY, "Up", "missing"]);
    of(error(&format!("unet.{KEY}"), &[("alpha", number(1.0))]), &[KEY, "Down", "missing"]);
    let short = [("lora_A.weight", values(1, &[2, CONTEXT])), ("lora_B.weight", values(2, &[7, 2]))];
    of(error(&format!("unet.{KEY}"), &short), &["[7, 6]", "[8, 6]"]);
    let endless = [&factors(CONTEXT)[..], &[("alpha", number(f32::NAN))]].concat();
    of(error(&format!("unet.{KEY}"), &endless), &["alpha", "NaN"]);
    let none = LoraFile::from_tensors(
        Path::new("x"),
        NamedTensors::from([("conv.weight".to_owned(), values(1, &[1]))]),
        None,
    );
    of(none.unwrap_err().to_string(), &["holds no LoRA", "conv.weight"]);
}

#[test]
fn tensors_that_are_not_read_are_told_from_layers_that_are_not_there() {
    let (_, layers) = base(CONTEXT);
    let factors = [("lora_A.weight", values(1, &[2, CONTEXT])), ("lora_B.weight", values(2, &[8, 2]))];
    for end in ["lora_B.bias", "oft_blocks", "scalar"] {
        let parts = [&factors[..], &[(end, values(3, &[8]))]].concat();
        let error = file(&format!("unet.{KEY}"), &parts).resolve(&layers).unwrap_err().to_string();
        for word in [
            "some.safetensors",
            "tensors of a kind that is not read (1 of them",
            &format!("{KEY}.{end}"),
            "LoHa",
        ] {
            assert!(error.contains(word), "{word:?} is not in: {error}");
        }
        // Another base is what counts first.
        let error = file("unet.down_blocks.7.to_q", &parts).resolve(&layers).unwrap_err().to_string();
        assert!(error.contains("1 of its 1 layers"), "{error}");
    }
}

#[test]
fn values_that_are_no_numbers_are_the_loras_own() {
    let name = format!("unet.{KEY}");
    let factors = |value: f32| {
        let up = (values(2, &[8, 2]).zeros_like().unwrap() + f64::from(value)).unwrap();
        [(format!("{name}.lora_A.weight"), values(1, &[2, CONTEXT])), (format!("{name}.lora_B.weight"), up)]
    };
    let read =
        |value: f32| LoraFile::from_tensors(Path::new("some.safetensors"), factors(value).into(), None);
    let named = |error: LoraError| {
        assert!(matches!(error, LoraError::NotNumbers { .. }), "{error}");
        let error = error.to_string();
        assert!(error.contains("some.safetensors") && error.contains(KEY), "{error}");
    };
    named(read(f32::NAN).unwrap_err());
    named(read(f32::NEG_INFINITY).unwrap_err());
    // Numbers whose sum is none.
    let (_, layers) = base(CONTEXT);
    let mut stack = Stack::default();
    stack.push(read(f32::MAX).unwrap(), 20.0, &layers).unwrap();
    let weight = format!("{KEY}.weight");
    named(stack.apply(Component::Unet, &weight, values(3, &[8, CONTEXT])).unwrap_err());
    // What was no number before is the base's, which is said where its file is known.
    let nan = (values(3, &[8, CONTEXT]).zeros_like().unwrap() + f64::NAN).unwrap();
    assert!(stack.apply(Component::Unet, &weight, nan).is_ok());
}

proptest! {
    /// Whatever its alpha and rank, a LoRA means the same in both dialects.
    #[test]
    fn both_dialects_mean_the_same(rank in 1usize..5, alpha in 0.25f32..9.0, seed in 0u32..99, magnitudes in any::<bool>()) {
        let (unet, layers) = base(CONTEXT);
        let mut parts = vec![
            ("lora_down.weight", values(seed, &[rank, CONTEXT])),
            ("lora_up.weight", values(seed + 1, &[8, rank])),
            ("alpha", number(alpha)),
        ];
        if magnitudes {
            parts.push(("dora_scale", values(seed + 2, &[8, 1])));
        }
        let weight = values(seed + 3, &[8, CONTEXT]);
        let expected = applied(KEY, &parts, &weight, 1.0);
        let name = format!("lora_unet_{}", KEY.replace('.', "_"));
        let target = Target { layers: &layers, unet: &unet, prediction: Default::default(), resolution: 512 };
        for dialect in [Dialect::Peft, Dialect::Kohya] {
            let (tensors, metadata) = translate(file(&name, &parts), dialect, target, "a title").unwrap();
            prop_assert!(!metadata.is_empty());
            // A reader that does not know of the metadata understands the same.
            let again = LoraFile::from_tensors(Path::new("again"), tensors, None).unwrap();
            let mut stack = Stack::default();
            stack.push(again, 1.0, &layers).unwrap();
            let found = stack.apply(Component::Unet, &format!("{KEY}.weight"), weight.clone()).unwrap();
            close(&flat(&found), &expected);
        }
    }
}
