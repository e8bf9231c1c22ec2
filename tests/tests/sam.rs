//! Segment Anything against transformers, its authors' package and timm, on the same random weights.
#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use candle_core::{DType, Tensor as Value};
use mudi::segment::{Segmenter, decoder_files};
use mudi_diffusion::{Engine, parse};
use mudi_engine_candle::weights::{FileWeights, NamedTensors, TrainableWeights};
use mudi_engine_candle::{CandleEngine, Tensor, nchw, on_pool};
use mudi_preview::SafetensorsWeights;
use mudi_tests::golden::{assert_close, engines, fixture, tensors, values};
use mudi_tests::patience::finished;
use mudi_vision::preprocess::{Filter, resize};
use mudi_vision::sam::names::FromTransformers;
use mudi_vision::sam::{Fit, Point, Prompt, Published, Sam, SamConfig, SamDecoder, mask};

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
        assert!((stability_of(logits) - stability).abs() < 1e-6);
    }
}

fn stability_of(logits: &[f32]) -> f32 {
    let mut stability = mask::Stability::new(0.1);
    stability.add(logits);
    stability.share()
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
fn the_decoder_alone_makes_the_same_masks() {
    let toybox = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/sam-toybox");
    let engine = CandleEngine::cpu();
    for folder in [fixture("sam-tiny"), fixture("sam-authors-tiny"), fixture("sam-mobile-tiny"), toybox] {
        let whole = Segmenter::load(&folder).unwrap_or_else(|error| panic!("{error}")).sam;
        let files = decoder_files(&folder).unwrap_or_else(|error| panic!("{error}"));
        let config: SamConfig = parse(&files.config).unwrap();
        let mut weights = SafetensorsWeights::new(&engine, "the decoder", &files.weights).unwrap();
        assert!(weights.names().all(|name| !name.starts_with("image_encoder")));
        let alone = SamDecoder::new(&engine, &config, &mut weights).unwrap();
        let [shape, side] = [alone.embedding_shape().to_vec(), vec![alone.mask_size()]];
        assert_eq!(files.image_size, alone.image_size());
        let count: usize = shape.iter().product();
        let embedding: Vec<f32> = (0..count).map(|at| ((at * 7919 % 2003) as f32 / 1001.5) - 1.0).collect();
        let embedding = engine.from_slice(&embedding, &shape).unwrap();
        let point = |x, y, on_subject| Point { x, y, on_subject };
        let click = Prompt { points: vec![point(30.0, 40.0, true)], ..Prompt::default() };
        let earlier = (0..side[0] * side[0]).map(|at| (at % 13) as f32 - 6.0).collect();
        for prompt in [
            click.clone(),
            Prompt { bounds: Some([5.0, 10.0, 60.0, 70.0]), ..click.clone() },
            Prompt { points: vec![point(30.0, 40.0, true), point(8.0, 8.0, false)], ..Prompt::default() },
            Prompt { mask: Some(earlier), ..click.clone() },
        ] {
            let several = prompt.is_ambiguous();
            let prompts = std::slice::from_ref(&prompt);
            let expected = whole.predict(&engine, &embedding, prompts, several).unwrap();
            let found = alone.predict(&engine, &embedding, prompts, several).unwrap();
            // The same weights and the same operations: to the last bit.
            assert_eq!(values(found.logits.value()), values(expected.logits.value()), "{folder:?}");
            assert_eq!(values(found.ious.value()), values(expected.ious.value()), "{folder:?}");

            let ious = values(expected.ious.value());
            let most = ious.iter().copied().fold(f32::MIN, f32::max);
            let at = ious.iter().position(|&iou| iou == most).unwrap();
            let best = finished(alone.best(&engine, &embedding, &prompt)).unwrap();
            let each = side[0] * side[0];
            assert_eq!(best.iou, most);
            assert_eq!(best.logits, values(expected.logits.value())[at * each..(at + 1) * each]);
        }
    }
}

#[test]
fn coverage_is_where_logits_are_positive() {
    let logits: Vec<f32> = (0..16 * 16).map(|at| ((at * 37) % 23) as f32 - 11.0).collect();
    for size in [[50, 50], [30, 77], [1, 9], [96, 64]] {
        let photo = mask::to_photo(&logits, 16, 64, size);
        let expected: Vec<u8> = photo.iter().map(|&logit| if logit > 0.0 { 255 } else { 0 }).collect();
        assert_eq!(mask::cover(&logits, 16, 64, size), expected);
        // Stability is that of the photo, as the authors have it: what had been padded does not count.
        let mut stability = mask::Stability::new(0.1);
        assert_eq!(mask::cover_noting(&logits, 16, 64, size, |row| stability.add(row)), expected);
        assert_eq!(stability.share(), stability_of(&photo));
    }
}

/// Seconds that something takes, the median of `runs`.
fn seconds(runs: usize, mut run: impl FnMut()) -> f64 {
    let mut times: Vec<f64> = (0..runs)
        .map(|_| {
            let begun = std::time::Instant::now();
            run();
            begun.elapsed().as_secs_f64()
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[runs / 2]
}

/// `cargo test --release -p mudi-tests --test sam -- --ignored --nocapture speed`
#[test]
#[ignore = "it measures, and proves nothing"]
fn speed_of_an_embedding_and_of_a_click() {
    let engine = CandleEngine::cpu();
    let toybox = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/sam-toybox");
    let toybox: SamConfig = parse(&std::fs::read_to_string(toybox.join("config.json")).unwrap()).unwrap();
    let models = [
        ("sam-toybox", toybox),
        ("ViT-B", SamConfig::published(Published::VitB)),
        ("MobileSAM", SamConfig::published(Published::Mobile)),
    ];
    for (name, config) in models {
        let mut weights = TrainableWeights::new(|name, shape, _| {
            let fan_in = shape[1..].iter().product::<usize>().max(1) as f32;
            let seed = name.len();
            (0..shape.iter().product())
                .map(|at: usize| (((at + seed) * 7919 % 2003) as f32 / 1001.5 - 1.0) / fan_in.sqrt())
                .collect()
        });
        let sam = Sam::new(&engine, config, &mut weights).unwrap();
        let side = sam.config.image_size();
        let pixels: Vec<f32> = (0..3 * side * side).map(|at| (at % 255) as f32 / 127.0 - 1.0).collect();
        let pixels = engine.from_slice(&pixels, &[1, side, side, 3]).unwrap();
        let embed = || sam.embed(&engine, &pixels).unwrap().detached();
        let embedding = embed();
        let middle = side as f32 / 2.0;
        let prompt =
            Prompt { points: vec![Point { x: middle, y: middle, on_subject: true }], ..Prompt::default() };
        let click = || drop(finished(sam.decoder.best(&engine, &embedding, &prompt)).unwrap());
        let embedding_takes = on_pool(|| seconds(3, || drop(embed())));
        let click_takes = on_pool(|| seconds(9, click));
        println!("{name}: {:.0} ms an embedding, {:.1} ms a click", 1e3 * embedding_takes, 1e3 * click_takes);
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
