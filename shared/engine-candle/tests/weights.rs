//! Weight files: what is wrong with one is said with the file's and the tensor's name, and nothing panics.
#![allow(clippy::unwrap_used)] // In the helpers of tests too.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::DType;
use mudi_diffusion::ldm::{Part, Stored};
use mudi_diffusion::{Error, ParameterKind, Parameters};
use mudi_engine_candle::CandleEngine;
use mudi_engine_candle::weights::{
    FileWeights, TrainableWeights, WeightsError, named_for_file, read_safetensors, to_safetensors,
    values_from_file,
};
use mudi_engine_cases::random;
use proptest::prelude::*;
use tempfile::TempDir;

mod common;
use common::{value, values};

const KINDS: [(&str, &[usize], ParameterKind); 6] = [
    ("conv.weight", &[4, 3, 2, 5], ParameterKind::Convolution),
    ("conv.bias", &[4], ParameterKind::Bias { fan_in: 30 }),
    ("linear.weight", &[3, 4], ParameterKind::Linear),
    ("norm.weight", &[6], ParameterKind::NormScale),
    ("norm.bias", &[6], ParameterKind::NormShift),
    ("table.weight", &[5, 2], ParameterKind::Embedding),
];

fn made() -> TrainableWeights<'static> {
    let mut seed = 0;
    let mut weights = TrainableWeights::new(move |_, shape, _| {
        seed += 1;
        random(seed, shape.iter().product())
    });
    for (name, shape, kind) in KINDS {
        weights.get(name, shape, kind).expect("as many values as the shape asks for");
    }
    weights
}

fn whole() -> Vec<u8> {
    to_safetensors(&named_for_file(&made().made, DType::F32).unwrap(), None).unwrap()
}

fn written(bytes: &[u8]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights of a test.safetensors");
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}

fn open(path: &Path) -> Result<FileWeights, WeightsError> {
    FileWeights::open(&CandleEngine::cpu(), path)
}

/// Takes the weights of `KINDS`.
fn take_all(file: &mut FileWeights) -> Result<Vec<Vec<f32>>, WeightsError> {
    file.build(|from| {
        let get = |(name, shape, kind)| from.get(name, shape, kind).map(|tensor| values(tensor.value()));
        KINDS.into_iter().map(get).collect()
    })
}

fn assert_names(error: &WeightsError, path: &Path, names: &[&str]) {
    let message = error.to_string();
    for name in names.iter().copied().chain([path.to_str().unwrap()]) {
        assert!(message.contains(name), "`{message}` does not name {name}");
    }
}

fn assert_format(bytes: &[u8]) {
    let (_folder, path) = written(bytes);
    let Err(error) = open(&path) else { panic!("{} bytes were read", bytes.len()) };
    assert!(matches!(error, WeightsError::Format { .. }), "{error}");
    assert_names(&error, &path, &[]);
}

#[test]
fn files_hold_what_was_written() {
    for dtype in [DType::F32, DType::F16, DType::BF16] {
        let weights = made();
        let named = named_for_file(&weights.made, dtype).unwrap();
        assert_eq!(named["conv.weight"].dims(), [4, 5, 3, 2], "files have channels first");
        let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
        let bytes = to_safetensors(&named, Some(&metadata)).unwrap();
        assert_eq!(bytes, to_safetensors(&named, Some(&metadata)).unwrap());
        let (_folder, path) = written(&bytes);
        let mut file = open(&path).unwrap();
        let found = take_all(&mut file).unwrap();
        file.finish().unwrap();
        let tolerance = [(DType::F32, 0.0), (DType::F16, 1e-3), (DType::BF16, 4e-3)];
        let tolerance = tolerance.iter().find(|(d, _)| *d == dtype).unwrap().1;
        let raw = read_safetensors(&path).unwrap();
        for ((weight, found), (name, _, kind)) in weights.made.iter().zip(&found).zip(KINDS) {
            let expected = values(weight.leaf.value());
            assert!(expected.iter().zip(found).all(|(a, b)| (a - b).abs() <= tolerance), "{name} {dtype:?}");
            assert_eq!(raw[name].dtype(), dtype);
            assert_eq!(&values_from_file(&raw[name], kind).unwrap(), found);
        }
    }
}

#[test]
fn convolutions_are_stored_with_channels_first() {
    let mut weights = TrainableWeights::new(|_, _, _| (0..12u8).map(f32::from).collect());
    weights.get("w", &[1, 2, 2, 3], ParameterKind::Convolution).unwrap();
    let named = named_for_file(&weights.made, DType::F32).unwrap();
    let expected = [0., 3., 6., 9., 1., 4., 7., 10., 2., 5., 8., 11.];
    assert_eq!(values(&named["w"]), expected);
}

#[test]
fn linear_layers_may_be_stored_as_convolutions() {
    let weight = value(&random(1, 6), &[2, 3, 1, 1]);
    let (_folder, path) =
        written(&to_safetensors(&BTreeMap::from([("w".to_owned(), weight)]), None).unwrap());
    let mut file = open(&path).unwrap();
    let found = file.build(|from| from.get("w", &[2, 3], ParameterKind::Linear)).unwrap();
    assert_eq!(values(found.value()), random(1, 6));
}

#[test]
fn a_file_that_is_not_there_cannot_be_read() {
    let folder = tempfile::tempdir().unwrap();
    for path in [folder.path().join("nothing.safetensors"), folder.path().to_owned()] {
        let Err(error) = open(&path) else { panic!("read {}", path.display()) };
        assert!(matches!(error, WeightsError::Read { .. }), "{error}");
        assert_names(&error, &path, &[]);
    }
}

#[test]
fn missing_misshapen_and_extra_tensors_are_named() {
    for (missing, shape, _) in KINDS {
        let mut named = named_for_file(&made().made, DType::F32).unwrap();
        let tensor = named.remove(missing).unwrap();
        let (_folder, path) = written(&to_safetensors(&named, None).unwrap());
        let error = take_all(&mut open(&path).unwrap()).unwrap_err();
        assert_names(&error, &path, &[missing]);
        let WeightsError::Network { source: Error::MissingTensor { name, expected }, .. } = error else {
            panic!("{error}")
        };
        assert_eq!((name.as_str(), expected.as_slice()), (missing, shape));

        for wrong in [tensor.flatten_all().unwrap().unsqueeze(0).unwrap(), tensor.repeat(2).unwrap()] {
            named.insert(missing.to_owned(), wrong);
            let (_folder, path) = written(&to_safetensors(&named, None).unwrap());
            let error = take_all(&mut open(&path).unwrap()).unwrap_err();
            assert_names(&error, &path, &[missing]);
            assert!(
                matches!(error, WeightsError::Network { source: Error::TensorShape { .. }, .. }),
                "{error}"
            );
        }

        named.insert(missing.to_owned(), tensor.clone());
        named.insert(format!("{missing}.more"), tensor);
        let (_folder, path) = written(&to_safetensors(&named, None).unwrap());
        let mut file = open(&path).unwrap();
        take_all(&mut file).unwrap();
        let error = file.finish().unwrap_err();
        assert_names(&error, &path, &[&format!("`{missing}.more`")]);
        assert!(matches!(error, WeightsError::Extra { .. }), "{error}");
    }
}

#[test]
fn buffers_that_no_network_needs_are_not_extra() {
    let name = "text_model.embeddings.position_ids".to_owned();
    let (_folder, path) =
        written(&to_safetensors(&BTreeMap::from([(name, value(&[0.0], &[1]))]), None).unwrap());
    open(&path).unwrap().finish().unwrap();
}

#[test]
fn truncated_files_are_not_whole() {
    let whole = whole();
    for length in 0..whole.len() {
        assert_format(&whole[..length]);
    }
    assert_format(&[whole, vec![0]].concat());
}

#[test]
fn impossible_header_lengths_are_format_errors() {
    let whole = whole();
    let claiming = |length: u64| [&length.to_le_bytes(), &whole[8..]].concat();
    for length in [0, 1, whole.len() as u64, 100_000_000] {
        assert_format(&claiming(length));
    }
    // No such file has headers so long: it is another format's, whose first bytes are no length.
    for length in [100_000_001, u64::from(u32::MAX), u64::MAX - 7, u64::MAX] {
        let (_folder, path) = written(&claiming(length));
        let Err(error) = open(&path) else { panic!("a header of {length} bytes was read") };
        assert!(matches!(error, WeightsError::NotSafetensors { .. }), "{error}");
        assert_names(&error, &path, &["no safetensors file"]);
    }
}

/// A file with one tensor, described by `header`, and `data` bytes.
fn described(header: &str, data: usize) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &vec![0x3c; data]].concat()
}

#[test]
fn every_type_is_read_or_refused() {
    let types =
        "BOOL U8 I8 F8_E5M2 F8_E4M3 F8_E8M0 F6_E2M3 F6_E3M2 F4 I16 U16 F16 BF16 I32 U32 F32 C64 F64 I64 U64";
    for (dtype, size) in types.split(' ').flat_map(|dtype| [2, 3, 4, 8, 16, 32].map(|size| (dtype, size))) {
        let header = format!(r#"{{"w":{{"dtype":"{dtype}","shape":[4],"data_offsets":[0,{size}]}}}}"#);
        let (_folder, path) = written(&described(&header, size));
        match open(&path) {
            Err(error) => assert_names(&error, &path, &[]),
            Ok(mut file) => {
                if let Err(error) = file.build(|from| from.get("w", &[4], ParameterKind::NormScale)) {
                    assert_names(&error, &path, &["w"]);
                }
            }
        }
    }
}

#[test]
fn a_type_that_is_not_read_is_named() {
    for (dtype, size) in [("C64", 32), ("F8_E8M0", 4)] {
        let header = format!(r#"{{"w":{{"dtype":"{dtype}","shape":[4],"data_offsets":[0,{size}]}}}}"#);
        let (_folder, path) = written(&described(&header, size));
        let mut file = open(&path).unwrap();
        let error = file.build(|from| from.get("w", &[4], ParameterKind::NormScale)).err().unwrap();
        assert_names(&error, &path, &["`w`", &format!("{dtype} is not read; take f16 or bf16")]);
        assert!(!error.to_string().contains("not a whole"), "{error}");
    }
}

/// As PyTorch's `float8_e5m2`: sign, five bits of an exponent with the bias 15, two of a mantissa.
#[test]
fn weights_in_e5m2_are_read() {
    let header = concat!(
        r#"{"w":{"dtype":"F8_E5M2","shape":[2,3],"data_offsets":[0,6]},"#,
        r#""w.weight":{"dtype":"F8_E5M2","shape":[1,2],"data_offsets":[6,8]},"#,
        r#""w.scale_weight":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}}"#
    );
    let bytes = [0x3c, 0xbe, 0x00, 0x7b, 0x01, 0x41, 0x3c, 0x42];
    let scale = 0.5f32.to_le_bytes();
    let file = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &bytes, &scale].concat();
    let (_folder, path) = written(&file);
    let mut file = open(&path).unwrap();
    let mut read = |name, shape: &[usize]| {
        values(file.build(|from| from.get(name, shape, ParameterKind::Linear)).unwrap().value())
    };
    assert_eq!(read("w", &[2, 3]), [1.0, -1.5, 0.0, 57344.0, 2f32.powi(-16), 2.5]);
    assert_eq!(read("w.weight", &[1, 2]), [0.5, 1.5]);
}

/// As ComfyUI saves them.
#[test]
fn weights_in_fp8_are_multiplied_by_their_scale() {
    let numbers = [1.0, -2.0, 0.5, 448.0, 0.0, 3.5];
    let fp8 = value(&numbers, &[2, 3]).to_dtype(DType::F8E4M3).unwrap();
    let scaled = |scale: f32| numbers.map(|number| number * scale).to_vec();
    let read = |end: &str, scale| {
        let tensors = BTreeMap::from([
            ("scaled_fp8".to_owned(), value(&[0.0], &[1]).to_dtype(DType::F8E4M3).unwrap()),
            ("layer.weight".to_owned(), fp8.clone()),
            (format!("layer.{end}"), scale),
            ("other.weight".to_owned(), fp8.clone()),
        ]);
        let (_folder, path) = written(&to_safetensors(&tensors, None).unwrap());
        // A checkpoint's names: what is asked for has another one, and the marks are asked for by none.
        let mut file = open(&path).unwrap().named(|name| {
            let name = name.strip_prefix("x.")?.to_owned();
            Some(Stored { name, part: Part::Whole })
        });
        let both = file.build(|from| {
            let get = |from: &mut dyn Parameters<CandleEngine>, name| {
                from.get(name, &[2, 3], ParameterKind::Linear)
            };
            Ok([get(from, "x.layer.weight")?, get(from, "x.other.weight")?]
                .map(|tensor| values(tensor.value())))
        });
        (path, both)
    };
    for (end, shape) in [("scale_weight", &[] as &[usize]), ("scale_weight", &[1]), ("weight_scale", &[1])] {
        let (_, both) = read(end, value(&[0.25], shape));
        assert_eq!(both.unwrap(), [scaled(0.25), scaled(1.0)], "{end} {shape:?}");
    }
    let (path, both) = read("scale_weight", value(&[0.25, 0.5], &[2, 1]));
    assert_names(&both.unwrap_err(), &path, &["layer.scale_weight", "[2, 1]", "f16 or bf16"]);
}

#[test]
fn headers_that_lie_are_format_errors() {
    for (shape, offsets) in [
        ("[4]", "[0,32]"),
        ("[8]", "[0,16]"),
        ("[4]", "[16,0]"),
        ("[4]", "[4,20]"),
        ("[4611686018427387904,4]", "[0,16]"),
        ("[18446744073709551615,18446744073709551615]", "[0,16]"),
        ("[-4]", "[0,16]"),
        ("[4]", "[0,18446744073709551615]"),
    ] {
        let header = format!(r#"{{"w":{{"dtype":"F32","shape":{shape},"data_offsets":{offsets}}}}}"#);
        assert_format(&described(&header, 16));
    }
}

/// Opens and reads everything; only whether it panics matters, and that errors name the file.
fn survives(bytes: &[u8]) {
    let (_folder, path) = written(bytes);
    match open(&path) {
        Err(error) => assert_names(&error, &path, &[]),
        Ok(mut file) => {
            if let Err(error) = take_all(&mut file) {
                assert_names(&error, &path, &[]);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        survives(&bytes);
    }

    #[test]
    fn random_headers_are_survived(header in prop::collection::vec(any::<u8>(), 0..200), data in 0usize..64) {
        survives(&[&(header.len() as u64).to_le_bytes()[..], &header, &vec![1; data]].concat());
    }

    #[test]
    fn changed_bytes_are_survived(changes in prop::collection::vec((0usize..700, any::<u8>()), 1..6)) {
        let mut bytes = whole();
        for (at, byte) in changes {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        survives(&bytes);
    }
}
