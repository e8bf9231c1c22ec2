//! Segment Anything against transformers, its authors' package and timm, on the same random weights.
#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use candle_core::{DType, Tensor as Value};
use mudi_diffusion::{Engine, parse};
use mudi_engine_candle::weights::{FileWeights, NamedTensors};
use mudi_engine_candle::{CandleEngine, Tensor, nchw};
use mudi_tests::golden::{engines, error_of_range, fixture, tensors, values};
use mudi_vision::preprocess::{Filter, resize};
use mudi_vision::sam::names::FromTransformers;
use mudi_vision::sam::{Fit, Point, Prompt, Sam, SamConfig, mask};

/// f32 on both sides: what is left is the order of additions.
const TOLERANCE: f32 = 1e-5;

fn assert_close(what: &str, found: &[f32], expected: &[f32]) {
    let error = error_of_range(found, expected);
    println!("{what}: max error {error:.2e} of the range");
    assert!(error <= TOLERANCE, "{what}: {error:.2e}");
}

fn load(engine: &CandleEngine, folder: &str, file: &str) -> Sam<CandleEngine> {
    let config = std::fs::read_to_string(fixture(folder).join("config.json")).unwrap();
    let config: SamConfig = parse(&config).unwrap();
    let mut weights = FileWeights::open(engine, &fixture(folder).join(file)).unwrap();
    let depth = config.mask_decoder_config.iou_head_depth;
    weights
        .build(|source| {
            if FromTransformers::fits(source) {
                Sam::new(engine, config, &mut FromTransformers::new(source, depth))
            } else {
                Sam::new(engine, config, source)
            }
        })
        .unwrap_or_else(|error| panic!("{error}"))
}

/// The prompt of a golden file, whatever leading axes its parts have.
fn prompt(golden: &NamedTensors) -> Prompt {
    let all = |name: &str| golden.get(name).map(values);
    let labels = all("input_labels").unwrap_or_default();
    let points = all("input_points").unwrap_or_default();
    let points = points.chunks_exact(2).zip(&labels);
    Prompt {
        points: points.map(|(at, &label)| Point { x: at[0], y: at[1], on_subject: label == 1.0 }).collect(),
        bounds: all("input_boxes").map(|corners| corners.try_into().unwrap()),
        mask: all("input_masks"),
    }
}

#[test]
fn transformers_sam() {
    for engine in engines() {
        let sam = load(&engine, "sam-tiny", "model.safetensors");
        let golden = tensors("sam-tiny/golden/image_encoder.safetensors");
        let found = sam.embed(&engine, &nchw::to_channels_last(&golden["pixel_values"]).unwrap()).unwrap();
        let found = values(&nchw::to_channels_first(&found).unwrap());
        assert_close("sam image encoder", &found, &values(&golden["out.last_hidden_state"]));

        let mut ious = (Vec::new(), Vec::new());
        for name in ["points", "points_box", "box", "point_mask"] {
            for kind in ["several", "one"] {
                let golden = tensors(&format!("sam-tiny/golden/{name}_{kind}.safetensors"));
                let embedding = nchw::to_channels_last(&golden["image_embeddings"]).unwrap();
                let found = sam.predict(&engine, &embedding, &[prompt(&golden)], kind == "several").unwrap();
                let expected = &golden["out.pred_masks"];
                assert_eq!(found.logits.value().dims(), &expected.dims()[1..]);
                assert_close(
                    &format!("sam masks {name} {kind}"),
                    &values(found.logits.value()),
                    &values(expected),
                );
                ious.0.extend(values(found.ious.value()));
                ious.1.extend(values(&golden["out.iou_scores"]));
            }
        }
        assert_close("sam iou scores", &ious.0, &ious.1);
    }
}

#[test]
fn prompts_of_a_batch_do_not_mix() {
    let engine = CandleEngine::cpu();
    let sam = load(&engine, "sam-tiny", "model.safetensors");
    let golden = tensors("sam-tiny/golden/points_box_one.safetensors");
    let embedding = nchw::to_channels_last(&golden["image_embeddings"]).unwrap();
    let other = engine.scale(&embedding, 0.5).unwrap();
    let first = prompt(&golden);
    let second = Prompt { bounds: Some([20.0, 10.0, 60.0, 90.0]), ..first.clone() };
    let alone = |embedding: &Tensor, prompt: &Prompt| {
        let found = sam.predict(&engine, embedding, std::slice::from_ref(prompt), true).unwrap();
        [values(found.logits.value()), values(found.ious.value())]
    };
    let both = engine.concat(&embedding, &other, 0).unwrap();
    let both = sam.predict(&engine, &both, &[first.clone(), second.clone()], true).unwrap();
    for (which, value) in [both.logits, both.ious].iter().enumerate() {
        let expected = [&alone(&embedding, &first)[which][..], &alone(&other, &second)[which]].concat();
        assert_close("two prompts", &values(value.value()), &expected);
    }
}

fn authors_on(engine: &CandleEngine, folder: &str) {
    let sam = load(engine, folder, "model.pth");
    let golden = tensors(&format!("{folder}/golden/sam.safetensors"));
    let found = sam.embed(engine, &nchw::to_channels_last(&golden["pixel_values"]).unwrap()).unwrap();
    let features = values(&nchw::to_channels_first(&found).unwrap());
    assert_close(&format!("{folder} embedding"), &features, &values(&golden["out.image_embeddings"]));

    let embedding = nchw::to_channels_last(&golden["out.image_embeddings"]).unwrap();
    let found = sam.predict(engine, &embedding, &[prompt(&golden)], true).unwrap();
    let logits = values(found.logits.value());
    assert_close(&format!("{folder} masks"), &logits, &values(&golden["out.pred_masks"]));
    assert_close(&format!("{folder} ious"), &values(found.ious.value()), &values(&golden["out.iou_scores"]));

    let fit = fit(&golden, sam.config.image_size());
    let side = sam.config.mask_size();
    let expected = values(&golden["out.pred_masks"]);
    let photo: Vec<f32> = expected
        .chunks_exact(side * side)
        .flat_map(|logits| mask::to_photo(logits, side, fit.image_size, fit.size))
        .collect();
    assert_close(&format!("{folder} masks of the photo"), &photo, &values(&golden["out.photo_masks"]));
    for (logits, stability) in expected.chunks_exact(side * side).zip(values(&golden["out.stability"])) {
        assert!((mask::stability(logits, 0.1) - stability).abs() < 1e-6);
    }
}

fn fit(golden: &NamedTensors, image_size: usize) -> Fit {
    let (height, width, _) = golden["photo"].dims3().unwrap();
    Fit { size: [height, width], image_size }
}

#[test]
fn the_authors_sam_and_mobile_sam() {
    for engine in engines() {
        authors_on(&engine, "sam-authors-tiny");
        authors_on(&engine, "sam-mobile-tiny");
    }
}

fn bytes(value: &Value) -> Vec<u8> {
    value.flatten_all().unwrap().to_dtype(DType::U8).unwrap().to_vec1().unwrap()
}

#[test]
fn photos_are_resized_as_pillow_does_it() {
    let golden = tensors("resize.safetensors");
    let mut compared = 0;
    for (name, expected) in &golden {
        let parts: Vec<&str> = name.split('.').collect();
        let [index, filter, size] = parts[..] else { continue };
        let pixels = &golden[&format!("{index}.pixels")];
        let (height, width, _) = pixels.dims3().unwrap();
        let to: Vec<usize> = size.split('x').map(|length| length.parse().unwrap()).collect();
        let filter = if filter == "bicubic" { Filter::Bicubic } else { Filter::Bilinear };
        let found = resize(&bytes(pixels), [height, width], [to[0], to[1]], filter);
        assert_eq!(found, bytes(expected), "{name}");
        compared += 1;
    }
    assert_eq!(compared, 24);
}

#[test]
fn photos_become_the_references_pixels() {
    for folder in ["sam-authors-tiny", "sam-mobile-tiny"] {
        let golden = tensors(&format!("{folder}/golden/sam.safetensors"));
        let side = golden["out.photo_pixels"].dims()[2];
        let found = fit(&golden, side).pixels(&bytes(&golden["photo"]));
        let expected = nchw::to_channels_last(&golden["out.photo_pixels"]).unwrap();
        assert_close(&format!("{folder} pixels"), &found, &values(expected.value()));
    }
}

#[test]
fn what_does_not_fit_is_refused_with_its_name() {
    let engine = CandleEngine::cpu();
    let sam = load(&engine, "sam-tiny", "model.safetensors");
    let golden = tensors("sam-tiny/golden/box_one.safetensors");
    let embedding = nchw::to_channels_last(&golden["image_embeddings"]).unwrap();
    let refused = |embedding: &Tensor, prompts: &[Prompt], word: &str| {
        let Err(error) = sam.predict(&engine, embedding, prompts, true) else {
            panic!("{word}: it was taken")
        };
        assert!(error.to_string().contains(word), "{error}");
    };
    refused(&embedding, &[Prompt::default()], "nothing is pointed at");
    refused(&embedding, &[], "image_embeddings");
    refused(&embedding, &[Prompt { mask: Some(vec![0.0; 7]), ..Prompt::default() }], "48 x 48");
    let two = engine.concat(&embedding, &embedding, 0).unwrap();
    let point = Point { x: 1.0, y: 1.0, on_subject: true };
    let points = Prompt { points: vec![point; 2], ..Prompt::default() };
    refused(&two, &[prompt(&golden), points], "as many points");
    let small = engine.from_slice(&[0.0; 48], &[1, 4, 4, 3]).unwrap();
    let error = sam.embed(&engine, &small).err().unwrap().to_string();
    assert!(error.contains("pixel_values") && error.contains("96"), "{error}");
}
