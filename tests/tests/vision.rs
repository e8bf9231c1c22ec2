//! Networks that see, against transformers and the package of DreamSim's authors, on the same random weights.
#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

#[path = "vision/relatives.rs"]
mod relatives;

use std::path::Path;

use candle_core::Tensor as Value;
use image::RgbImage;
use mudi::segment::Segmenter;
use mudi::vision::{Detector, Embedder, EmbedderKind};
use mudi_diffusion::{Engine, Parameters, parse};
use mudi_engine_candle::weights::{FileWeights, NamedTensors, read_safetensors, to_safetensors};
use mudi_engine_candle::{CandleEngine, nchw};
use mudi_tests::golden::{assert_close, engines, fixture, network, tensors, values};
use mudi_tests::workshop::copy_folder;
use mudi_vision::dino::{Dinov2, class_state, mean_state};
use mudi_vision::dreamsim::{Adapter, DreamSim, DreamSimConfig, TOWERS, Tower};
use mudi_vision::owl::{Owl, Proposals};
use mudi_vision::preprocess::Pixels;

#[test]
fn dinov2_of_every_grid_and_both_kinds_of_layers() {
    for engine in engines() {
        for folder in ["vision/dinov2-tiny", "vision/dinov2-swiglu-tiny"] {
            let dino = network(&engine, folder, "model.safetensors", true, |config, parameters| {
                Dinov2::new(config, parameters)
            });
            let golden = tensors(&format!("{folder}/golden.safetensors"));
            for size in ["learnt", "larger", "smaller"] {
                let pixels = nchw::to_channels_last(&golden[&format!("{size}.pixel_values")]).unwrap();
                let states = dino.forward(&engine, &pixels).unwrap();
                for (name, tensor) in [
                    ("last_hidden_state", &states),
                    ("pooler_output", &class_state(&engine, &states).unwrap()),
                    ("mean", &mean_state(&engine, &states).unwrap()),
                ] {
                    let expected = &golden[&format!("out.{size}.{name}")];
                    assert_eq!(engine.shape(tensor), expected.dims());
                    assert_close(
                        &format!("{folder}, {size}, {name}"),
                        &engine.to_vec(tensor).unwrap(),
                        &values(expected),
                    );
                }
            }
        }
    }
}

/// The weights of a file of transformers under the names of DINOv2's authors.
fn authors_names(weights: &NamedTensors) -> NamedTensors {
    const NAMES: [(&str, &str); 8] = [
        ("embeddings.cls_token", "cls_token"),
        ("embeddings.mask_token", "mask_token"),
        ("embeddings.position_embeddings", "pos_embed"),
        ("embeddings.patch_embeddings.projection", "patch_embed.proj"),
        ("encoder.layer", "blocks"),
        ("attention.output.dense", "attn.proj"),
        ("layernorm", "norm"),
        ("layer_scale", "ls"),
    ];
    let mut renamed = NamedTensors::new();
    for (name, value) in weights {
        let name = NAMES
            .iter()
            .fold(name.clone(), |name, (from, to)| name.replace(from, to))
            .replace("lambda1", "gamma");
        if let Some((block, rest)) = name.split_once(".attention.attention.query") {
            let part = |part: &str| {
                &weights[&format!(
                    "{}.attention.attention.{part}{rest}",
                    block.replace("blocks", "encoder.layer")
                )]
            };
            let joint = Value::cat(&[part("query"), part("key"), part("value")], 0).unwrap();
            renamed.insert(format!("{block}.attn.qkv{rest}"), joint);
        } else if !name.contains(".attention.attention.") {
            renamed.insert(name, value.clone());
        }
    }
    renamed
}

#[test]
fn dinov2_of_the_authors_files_is_the_same_network() {
    let engine = CandleEngine::cpu();
    let folder = "vision/dinov2-tiny";
    let copy = tempfile::tempdir().unwrap();
    let weights = authors_names(&tensors(&format!("{folder}/model.safetensors")));
    let path = copy.path().join("model.safetensors");
    std::fs::write(&path, to_safetensors(&weights, None).unwrap()).unwrap();
    let config = parse(&std::fs::read_to_string(fixture(&format!("{folder}/config.json"))).unwrap()).unwrap();
    let mut file = FileWeights::open(&engine, &path).unwrap();
    let dino = file.build(|parameters| Dinov2::new(config, parameters)).unwrap();
    file.finish().unwrap();
    let golden = tensors(&format!("{folder}/golden.safetensors"));
    let pixels = nchw::to_channels_last(&golden["larger.pixel_values"]).unwrap();
    let states = dino.forward(&engine, &pixels).unwrap();
    let expected = &golden["out.larger.last_hidden_state"];
    assert_close("dinov2, authors' names", &engine.to_vec(&states).unwrap(), &values(expected));
}

/// The smallest of the published files at its size, with weights of our own: its name tells the configuration.
#[test]
fn dinov2_is_read_from_a_folder_with_the_authors_file_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let (width, patches) = (384, 37 * 37);
    let mut shapes = vec![
        ("cls_token".to_owned(), vec![1, 1, width]),
        ("mask_token".to_owned(), vec![1, width]),
        ("pos_embed".to_owned(), vec![1, 1 + patches, width]),
        ("patch_embed.proj.weight".to_owned(), vec![width, 3, 14, 14]),
        ("patch_embed.proj.bias".to_owned(), vec![width]),
        ("norm.weight".to_owned(), vec![width]),
        ("norm.bias".to_owned(), vec![width]),
    ];
    for block in 0..12 {
        let inner = 4 * width;
        for (name, shape) in [
            ("norm1.weight", vec![width]),
            ("norm1.bias", vec![width]),
            ("attn.qkv.weight", vec![3 * width, width]),
            ("attn.qkv.bias", vec![3 * width]),
            ("attn.proj.weight", vec![width, width]),
            ("attn.proj.bias", vec![width]),
            ("ls1.gamma", vec![width]),
            ("norm2.weight", vec![width]),
            ("norm2.bias", vec![width]),
            ("mlp.fc1.weight", vec![inner, width]),
            ("mlp.fc1.bias", vec![inner]),
            ("mlp.fc2.weight", vec![width, inner]),
            ("mlp.fc2.bias", vec![width]),
            ("ls2.gamma", vec![width]),
        ] {
            shapes.push((format!("blocks.{block}.{name}"), shape));
        }
    }
    let mut random = mudi_domain::rng::stream(3, "weights", 0);
    let tensors: Vec<(String, Value)> = shapes
        .into_iter()
        .map(|(name, shape)| {
            let values = mudi_domain::rng::normal(&mut random, shape.iter().product());
            let values: Vec<f32> = values.iter().map(|value| value * 0.05).collect();
            let tensor = Value::from_vec(values, shape, &candle_core::Device::Cpu).expect("a tensor");
            (name, tensor)
        })
        .collect();
    let path = folder.path().join("dinov2_vits14_pretrain.pth");
    safetensors::serialize_to_file(tensors.iter().map(|(name, tensor)| (name, tensor)), None, &path)
        .expect("a file");
    let embedder = Embedder::load(folder.path()).expect("DINOv2");
    assert_eq!(embedder.kind(), EmbedderKind::Dinov2);
    let image = image::RgbImage::from_fn(40, 30, |x, y| image::Rgb([6 * x as u8, 8 * y as u8, 90]));
    let other = image::RgbImage::from_fn(40, 30, |x, y| image::Rgb([8 * y as u8, 90, 6 * x as u8]));
    let [one, same, two] = [&image, &image, &other].map(|image| embedder.embed(image).expect("an identity"));
    assert_eq!(one, same);
    assert!(one.cosine(&two) < 1.0);
    // A file of the large model under the small one's name is refused by its shapes.
    let wrong = folder.path().join("dinov2_vitl14_pretrain.pth");
    std::fs::rename(&path, &wrong).expect("renamed");
    let refusal = Embedder::load(folder.path()).err().expect("another shape").to_string();
    assert!(refusal.contains("vitl14") || refusal.contains("cls_token"), "{refusal}");
}

fn owl(engine: &CandleEngine) -> (Owl<CandleEngine>, NamedTensors) {
    let folder = "vision/owlv2-tiny";
    let owl =
        network(engine, folder, "model.safetensors", true, |config, parameters| Owl::new(config, parameters));
    (owl, tensors(&format!("{folder}/golden.safetensors")))
}

#[test]
fn owlv2_finds_what_transformers_finds() {
    for engine in engines() {
        let (owl, golden) = owl(&engine);
        let ids: Vec<u32> = values(&golden["input_ids"]).iter().map(|&id| id as u32).collect();
        let texts = owl.encode_texts(&engine, &ids, 3).unwrap();
        // The reference's are of length 1.
        let unit: Vec<f32> = engine
            .to_vec(&texts)
            .unwrap()
            .chunks(24)
            .flat_map(|text| {
                let length = text.iter().map(|v| v * v).sum::<f32>().sqrt();
                text.iter().map(|v| v / length).collect::<Vec<_>>()
            })
            .collect();
        assert_close("owlv2, texts", &unit, &values(&golden["out.text_embeds"]));
        for size in ["learnt", "other"] {
            let pixels = nchw::to_channels_last(&golden[&format!("{size}.pixel_values")]).unwrap();
            let output = owl.forward(&engine, &pixels, &texts).unwrap();
            let proposals = Proposals::of(&engine, &output).unwrap();
            let all = |of: fn(&Proposals) -> Vec<f32>| proposals.iter().flat_map(of).collect::<Vec<f32>>();
            for (name, found) in [
                ("logits", all(|p| p.logits.clone())),
                ("objectness_logits", all(|p| p.objectness_logits.clone())),
                ("pred_boxes", all(|p| p.boxes.concat())),
            ] {
                assert_close(
                    &format!("owlv2, {size}, {name}"),
                    &found,
                    &values(&golden[&format!("out.{size}.{name}")]),
                );
            }
        }
    }
}

#[test]
fn owlv2_boxes_lie_where_the_reference_puts_them() {
    let engine = CandleEngine::cpu();
    let (owl, golden) = owl(&engine);
    let ids: Vec<u32> = values(&golden["input_ids"]).iter().map(|&id| id as u32).collect();
    let texts = owl.encode_texts(&engine, &ids, 3).unwrap();
    let pixels = nchw::to_channels_last(&golden["learnt.pixel_values"]).unwrap();
    let output = owl.forward(&engine, &pixels, &texts).unwrap();
    let sizes = values(&golden["sizes"]);
    for (index, proposals) in Proposals::of(&engine, &output).unwrap().iter().enumerate() {
        let (height, width) = (sizes[2 * index], sizes[2 * index + 1]);
        let found = proposals.above(0.3, width as u32, height as u32);
        let expected = |name: &str| &golden[&format!("out.{index}.{name}")];
        assert!(found.len() > 1, "the fixture has something to find");
        let scores: Vec<f32> = found.iter().map(|d| d.score).collect();
        assert_close("owlv2, scores", &scores, &values(expected("scores")));
        let labels: Vec<f32> = found.iter().map(|d| d.query as f32).collect();
        assert_eq!(labels, values(expected("labels")));
        let boxes: Vec<f32> = found
            .iter()
            .flat_map(|d| {
                let (x, y) = (d.bounds.x * f64::from(width), d.bounds.y * f64::from(height));
                let (w, h) = (d.bounds.width * f64::from(width), d.bounds.height * f64::from(height));
                [x, y, x + w, y + h].map(|v| v as f32)
            })
            .collect();
        assert_close("owlv2, boxes", &boxes, &values(expected("boxes")));
    }
}

#[test]
fn dreamsim_is_the_authors() {
    let folder = "vision/dreamsim-tiny";
    let golden = tensors(&format!("{folder}/golden.safetensors"));
    for engine in engines() {
        let images = nchw::to_channels_last(&golden["images"]).unwrap();
        let images: Vec<Pixels> = engine
            .to_vec(&images)
            .unwrap()
            .chunks(16 * 16 * 3)
            .map(|values| Pixels { height: 16, width: 16, values: values.to_vec() })
            .collect();
        let open = |name: &str| {
            FileWeights::open(&engine, &fixture(&format!("{folder}/{name}.safetensors"))).unwrap()
        };
        let config: DreamSimConfig =
            parse(&std::fs::read_to_string(fixture(&format!("{folder}/config.json"))).unwrap()).unwrap();
        for (name, with_lora) in [("base", false), ("embed", true)] {
            let mut lora = open("ensemble_lora/adapter_model");
            let text =
                std::fs::read_to_string(fixture(&format!("{folder}/ensemble_lora/adapter_config.json")))
                    .unwrap();
            let adapter = Adapter::from_json(&text).unwrap();
            let mut towers = Vec::new();
            for (index, name) in TOWERS.iter().enumerate() {
                let mut weights = open(name);
                let lora = with_lora.then_some((adapter, &mut lora as &mut dyn Parameters<CandleEngine>));
                towers.push(Tower::new(&engine, &config, index, &mut weights, lora).unwrap());
                weights.finish().unwrap();
            }
            let ensemble = DreamSim::new(towers);
            let found = engine.to_vec(&ensemble.embed(&engine, &images).unwrap()).unwrap();
            assert_close(&format!("dreamsim, {name}"), &found, &values(&golden[&format!("out.{name}")]));
            if with_lora {
                lora.finish().unwrap();
                let vectors: Vec<&[f32]> = found.chunks(28).collect();
                let distance = |a: usize, b: usize| {
                    1.0 - vectors[a].iter().zip(vectors[b]).map(|(a, b)| a * b).sum::<f32>()
                };
                // Distances lie between 0 and 2, whatever the two here are.
                let expected = values(&golden["out.distance"]);
                let error = (distance(0, 1) - expected[0]).abs().max((distance(1, 2) - expected[1]).abs());
                println!("dreamsim, distances: max error {error:.2e}");
                assert!(error <= 1e-6, "{error:.2e}");
            }
        }
    }
}

/// A copy of one of the small networks that come with the program.
fn shipped(name: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    copy_folder(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../models").join(name), folder.path());
    folder
}

/// As transformers writes large networks, and as it names those in half precision.
#[test]
fn weights_may_lie_in_shards_or_have_the_name_of_half_precision() {
    let image = RgbImage::from_fn(40, 30, |x, y| image::Rgb([6 * x as u8, 8 * y as u8, 90]));
    for name in ["owlv2-toybox", "dinov2-toybox", "sam-toybox"] {
        let folder = shipped(name);
        let path = |file: &str| folder.path().join(file);
        // What the network says of the image; nothing of a SAM, which is only loaded.
        let said = || match name {
            "owlv2-toybox" => {
                let detector = Detector::load(folder.path()).map_err(|error| error.to_string())?;
                let questions = detector.ask(&["a toy"]).unwrap();
                Ok(format!("{:?}", detector.detect(&image, &questions, 0.0).unwrap()))
            }
            "dinov2-toybox" => {
                let embedder = Embedder::load(folder.path()).map_err(|error| error.to_string())?;
                Ok(format!("{:?}", embedder.embed(&image).unwrap()))
            }
            _ => Segmenter::load(folder.path()).map(|_| String::new()).map_err(|error| error.to_string()),
        };
        let expected = said().unwrap();
        let whole = path("model.safetensors");
        std::fs::rename(&whole, path("model.fp16.safetensors")).unwrap();
        assert_eq!(said().unwrap(), expected, "{name}: half");
        let all = read_safetensors(&path("model.fp16.safetensors")).unwrap();
        std::fs::remove_file(path("model.fp16.safetensors")).unwrap();
        let shard = |number: usize| format!("model-0000{}-of-00002.safetensors", number + 1);
        let mut map = serde_json::Map::new();
        let mut shards = [NamedTensors::new(), NamedTensors::new()];
        for (index, (name, value)) in all.into_iter().enumerate() {
            map.insert(name.clone(), shard(index % 2).into());
            shards[index % 2].insert(name, value);
        }
        for (number, tensors) in shards.iter().enumerate() {
            std::fs::write(path(&shard(number)), to_safetensors(tensors, None).unwrap()).unwrap();
        }
        let index = serde_json::json!({ "metadata": {}, "weight_map": map });
        std::fs::write(path("model.safetensors.index.json"), index.to_string()).unwrap();
        assert_eq!(said().unwrap(), expected, "{name}: shards");
        for file in [shard(0), shard(1), "model.safetensors.index.json".to_owned()] {
            std::fs::remove_file(path(&file)).unwrap();
        }
        let error = said().unwrap_err();
        assert!(error.contains("model.safetensors"), "{error}");
    }
}

#[test]
fn steps_that_are_not_taken_here_are_refused_with_the_files_name() {
    let file = "preprocessor_config.json";
    for (name, field, value) in [
        ("owlv2-toybox", "do_normalize", serde_json::json!(false)),
        ("dinov2-toybox", "rescale_factor", serde_json::json!(1.0)),
        ("sam-toybox", "image_mean", serde_json::json!([0.5, 0.5, 0.5])),
        ("sam-toybox", "size", serde_json::json!({ "longest_edge": 64 })),
    ] {
        let folder = shipped(name);
        let path = folder.path().join(file);
        let mut config: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        config[field] = value;
        std::fs::write(&path, config.to_string()).unwrap();
        let error = match name {
            "owlv2-toybox" => Detector::load(folder.path()).err().unwrap().to_string(),
            "dinov2-toybox" => Embedder::load(folder.path()).err().unwrap().to_string(),
            _ => Segmenter::load(folder.path()).err().unwrap().to_string(),
        };
        assert!(error.contains(file) && error.contains(field), "{name}: {error}");
    }
}
