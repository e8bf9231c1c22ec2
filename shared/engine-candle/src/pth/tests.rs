//! Archives as PyTorch writes them, and such as it does not.
#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::path::PathBuf;

use proptest::prelude::*;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::PthFile;
use crate::weights::WeightsError;

fn text(text: &str) -> Vec<u8> {
    [b"X".as_slice(), &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat()
}

fn number(number: i32) -> Vec<u8> {
    [b"J".as_slice(), &number.to_le_bytes()].concat()
}

fn numbers(numbers: &[i32]) -> Vec<u8> {
    [b"(".to_vec(), numbers.iter().flat_map(|&n| number(n)).collect(), b"t".to_vec()].concat()
}

/// The key and the tensor, as `torch.save` pickles an entry of a dictionary of weights.
fn entry(
    name: &str,
    class: &str,
    key: &str,
    stored: i32,
    offset: i32,
    shape: &[i32],
    strides: &[i32],
) -> Vec<u8> {
    [
        text(name),
        b"ctorch._utils\n_rebuild_tensor_v2\n((".to_vec(),
        text("storage"),
        format!("ctorch\n{class}\n").into_bytes(),
        text(key),
        text("cpu"),
        number(stored),
        b"tQ".to_vec(),
        number(offset),
        numbers(shape),
        numbers(strides),
        b"\x89ccollections\nOrderedDict\n)RtR".to_vec(),
    ]
    .concat()
}

fn pickle(entries: &[Vec<u8>]) -> Vec<u8> {
    [b"\x80\x02ccollections\nOrderedDict\n)Rq\x00(".to_vec(), entries.concat(), b"u.".to_vec()].concat()
}

fn archive(members: &[(&str, &[u8])], method: CompressionMethod) -> Vec<u8> {
    let mut writer = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in members {
        writer.start_file(*name, SimpleFileOptions::default().compression_method(method)).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

fn stored(pickle: &[u8], storage: &[u8]) -> Vec<u8> {
    archive(
        &[("m/data.pkl", pickle), ("m/byteorder", b"little"), ("m/data/0", storage)],
        CompressionMethod::Stored,
    )
}

fn open(bytes: &[u8]) -> Result<(PthFile, tempfile::TempDir), WeightsError> {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("model.pth");
    std::fs::write(&path, bytes).unwrap();
    Ok((PthFile::open(&path)?, folder))
}

fn refused(bytes: &[u8]) -> String {
    let Err(error) = open(bytes) else { panic!("it was read") };
    let message = error.to_string();
    assert!(message.contains("model.pth"), "{message}");
    message
}

#[test]
fn tensors_are_read_in_order_whatever_their_strides() {
    let entries = [
        entry("whole", "FloatStorage", "0", 6, 0, &[2, 3], &[3, 1]),
        entry("turned", "FloatStorage", "0", 6, 0, &[3, 2], &[1, 3]),
        entry("tail", "FloatStorage", "0", 6, 4, &[2], &[1]),
        entry("scalar", "FloatStorage", "0", 6, 5, &[], &[]),
    ];
    let (mut file, _folder) =
        open(&stored(&pickle(&entries), &floats(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]))).unwrap();
    let mut values = |name: &str| -> Vec<f32> {
        file.read(name).unwrap().unwrap().flatten_all().unwrap().to_vec1().unwrap()
    };
    assert_eq!(values("whole"), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    assert_eq!(values("turned"), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
    assert_eq!(values("tail"), [4.0, 5.0]);
    assert_eq!(values("scalar"), [5.0]);
    assert_eq!(file.shape("turned"), Some([3, 2].as_slice()));
    assert!(file.read("missing").unwrap().is_none());
}

#[test]
fn empty_tensors_are_read_too() {
    let entries = [
        entry("none", "FloatStorage", "0", 2, 0, &[0], &[1]),
        entry("end", "FloatStorage", "0", 2, 2, &[3, 0], &[1, 1]),
        entry("w", "FloatStorage", "0", 2, 0, &[2], &[1]),
    ];
    let (mut file, _folder) = open(&stored(&pickle(&entries), &floats(&[1.0, 2.0]))).unwrap();
    for (name, shape) in [("none", vec![0]), ("end", vec![3, 0]), ("w", vec![2])] {
        assert_eq!(file.read(name).unwrap().unwrap().dims(), shape, "{name}");
    }
    let huge = [i32::MAX, i32::MAX, i32::MAX, 0];
    for (offset, shape) in [(3, &[0][..]), (0, &huge)] {
        let entry = entry("w", "FloatStorage", "0", 2, offset, shape, &[1; 4][..shape.len()]);
        let message = refused(&stored(&pickle(&[entry]), &floats(&[1.0, 2.0])));
        assert!(message.contains("`w` reaches outside"), "{message}");
    }
}

/// A tensor takes a copy of its shape and of its storage's name, and few bytes of a pickle.
#[test]
fn what_is_copied_for_each_tensor_is_short() {
    let long = [1; 17];
    let message =
        refused(&stored(&pickle(&[entry("w", "FloatStorage", "0", 1, 0, &long, &long)]), &floats(&[1.0])));
    assert!(message.contains("17 axes"), "{message}");
    let name = "0".repeat(1000);
    let message =
        refused(&stored(&pickle(&[entry("w", "FloatStorage", &name, 1, 0, &[1], &[1])]), &floats(&[1.0])));
    assert!(message.contains("storage"), "{message}");
}

#[test]
fn weights_below_a_name_of_a_training_script_are_found() {
    let below = |name: &str| {
        [b"}(".to_vec(), entry(name, "FloatStorage", "0", 1, 0, &[1], &[1]), b"u".to_vec()].concat()
    };
    for wrapper in ["state_dict", "teacher"] {
        // What DINO's training leaves has a student as well, who is not asked.
        let rest = [text("epoch"), number(3), text("student"), below("other")].concat();
        let whole = [b"\x80\x02}(".to_vec(), rest, text(wrapper), below("w"), b"u.".to_vec()].concat();
        let (file, _folder) = open(&stored(&whole, &floats(&[1.0]))).unwrap();
        assert_eq!(file.names().collect::<Vec<_>>(), ["w"], "{wrapper}");
    }
}

#[test]
fn nothing_that_a_pickle_asks_for_is_run() {
    // What `os.system("...")` pickles to, as the value of an entry beside a weight.
    let call = [text("run"), b"cos\nsystem\n(".to_vec(), text("touch harm"), b"tR".to_vec()].concat();
    let weight = entry("w", "FloatStorage", "0", 1, 0, &[1], &[1]);
    let (file, _folder) = open(&stored(&pickle(&[call, weight]), &floats(&[1.0]))).unwrap();
    assert_eq!(file.names().collect::<Vec<_>>(), ["w"]);
}

#[test]
fn what_does_not_fit_its_storage_is_refused() {
    let storage = floats(&[0.0; 6]);
    for (stored_elements, offset, shape, strides) in [
        (6, 0, vec![7], vec![1]),
        (6, 5, vec![2], vec![1]),
        (600, 0, vec![600], vec![1]),
        (6, -1, vec![1], vec![1]),
        // A million million views of one value.
        (6, 0, vec![1_000_000, 1_000_000], vec![0, 0]),
        (6, 0, vec![i32::MAX, i32::MAX, i32::MAX], vec![i32::MAX, i32::MAX, i32::MAX]),
    ] {
        let entry = entry("w", "FloatStorage", "0", stored_elements, offset, &shape, &strides);
        let message = refused(&stored(&pickle(&[entry]), &storage));
        assert!(message.contains("`w` reaches outside"), "{message}");
    }
    let message = refused(&stored(&pickle(&[entry("w", "FloatStorage", "9", 1, 0, &[1], &[1])]), &storage));
    assert!(message.contains("m/data/9"), "{message}");
}

#[test]
fn odd_types_are_named_when_they_are_asked_for() {
    let entries = [entry("flags", "BoolStorage", "0", 4, 0, &[4], &[1])];
    let (mut file, _folder) = open(&stored(&pickle(&entries), &[0; 4])).unwrap();
    let message = file.read("flags").unwrap_err().to_string();
    assert!(message.contains("flags") && message.contains("BoolStorage"), "{message}");
}

#[test]
fn deep_nesting_does_not_exhaust_the_stack() {
    let deep = [b"\x80\x02N".to_vec(), vec![0x85; 2_000_000], b".".to_vec()].concat();
    assert!(refused(&stored(&deep, &[])).contains("no dictionary"));
    let dicts = [
        b"\x80\x02".to_vec(),
        b"}X\x01\x00\x00\x00a".repeat(100_000),
        b"}".to_vec(),
        vec![b's'; 100_000],
        b".".to_vec(),
    ];
    assert!(refused(&stored(&dicts.concat(), &[])).contains("no tensors"));
}

#[test]
fn archives_that_pytorch_does_not_write_are_refused() {
    let weight = pickle(&[entry("w", "FloatStorage", "0", 1, 0, &[1], &[1])]);
    let both = archive(&[("a/data.pkl", &weight), ("b/data.pkl", &weight)], CompressionMethod::Stored);
    assert!(refused(&both).contains("exactly one"));
    let other = archive(
        &[("m/data.pkl", &weight), ("m/byteorder", b"big"), ("m/data/0", &floats(&[1.0]))],
        CompressionMethod::Stored,
    );
    assert!(refused(&other).contains("big-endian"));
    assert!(refused(b"PK\x03\x04").contains("archive"));
    assert!(refused(&stored(b"\x80\x02}", &[])).contains("ends in the middle"));
    assert!(refused(&stored(b"\x80\x02\xff.", &[])).contains("0xff"));
    assert!(refused(&stored(b"\x80\x02h\x07.", &[])).contains("recalls"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_files_never_panic(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>()) {
        let whole = stored(&pickle(&[entry("w", "FloatStorage", "0", 6, 0, &[2, 3], &[3, 1])]), &floats(&[1.0; 6]));
        let mut damaged = whole.clone();
        damaged[at.index(whole.len())] = byte;
        for bytes in [damaged, whole[..cut.index(whole.len())].to_vec()] {
            if let Ok((mut file, _folder)) = open(&bytes) {
                let names: Vec<String> = file.names().cloned().collect();
                for name in names {
                    let _ = file.read(&name);
                }
            }
        }
    }
}
