//! What the server tells of the model that browsers run, before any of it is fetched.

use std::path::Path;

use mudi_tests::golden::fixture;
use mudi_tests::served::Server;
use mudi_tests::workshop::copy_folder;
use safetensors::SafeTensors;
use serde_json::{Value, json};

use super::studio::Studio;

/// Values of all tensors of a model's files, and of the largest of them.
fn counted(model: &Path, files: &Value) -> (usize, usize) {
    let (mut sum, mut largest) = (0, 0);
    for file in files.as_array().expect("files") {
        let name = file["name"].as_str().expect("a name");
        if !name.ends_with(".safetensors") {
            continue;
        }
        let bytes = std::fs::read(model.join(name)).expect("weights");
        for (_, tensor) in SafeTensors::deserialize(&bytes).expect("weights").tensors() {
            let values: usize = tensor.shape().iter().product();
            sum += values;
            largest = largest.max(values);
        }
    }
    (sum, largest)
}

fn set(path: &Path, name: &str, value: Value) {
    let mut config: Value =
        serde_json::from_slice(&std::fs::read(path).expect("a configuration")).expect("JSON");
    config[name] = value;
    std::fs::write(path, config.to_string()).expect("a file");
}

#[test]
fn what_the_model_of_previews_takes_is_told_before_it_is_fetched() {
    let folder = tempfile::tempdir().expect("a folder");
    let models = folder.path().join("models");
    let model = models.join("tiny");
    copy_folder(&fixture("sdxl-tiny"), &model);
    let models = models.display().to_string();
    let flags = ["--models", &models, "--preview", "tiny", "--preview-guidance", "1"];
    let server = Server::start(&folder.path().join("data"), &flags);
    let studio = Studio::new(server.client());

    let told = studio.get("preview");
    assert_eq!(told["guidance"], json!(1.0), "{told}");
    let (weights, largest) = counted(&model, &told["files"]);
    let (needs, decoder) = (&told["needs"], &told["decoder"]);
    assert_eq!((&needs["weights"], &needs["largest_weight"]), (&json!(weights), &json!(largest)), "{told}");
    let number = |value: &Value| value.as_u64().expect("a number");
    // The decoded picture alone has three values to a pixel, and what it is made of more.
    let pixels = number(&told["side"]).pow(2);
    assert!(number(&needs["largest_activation"]) > 3 * pixels, "{told}");
    assert!(number(&needs["activations"]) > number(&needs["largest_activation"]), "{told}");
    assert!(number(&decoder["weights"]) < number(&needs["weights"]), "{told}");
    // A decoder alone gets latents of up to 64 x 64, whatever the model's own size is.
    let pixels = (64 * number(&told["reduction"])).pow(2);
    assert!(number(&decoder["largest_activation"]) > 3 * pixels, "{told}");

    // What the host changes is told anew.
    let sample_size = number(&told["side"]) / number(&told["reduction"]);
    set(&model.join("unet/config.json"), "sample_size", json!(2 * sample_size));
    let larger = studio.get("preview");
    assert_eq!(number(&larger["side"]), 2 * number(&told["side"]));
    assert_eq!(
        number(&larger["needs"]["largest_activation"]),
        4 * number(&needs["largest_activation"]),
        "{larger}"
    );
    assert_eq!(larger["needs"]["weights"], needs["weights"]);

    // A tiny autoencoder takes the place of its own.
    copy_folder(&fixture("taesd-tiny/vae"), &model.join("taesd"));
    let tiny = studio.get("preview");
    let names = tiny["files"].as_array().expect("files").iter().map(|file| file["name"].as_str());
    let names: Vec<&str> = names.flatten().collect();
    assert!(names.contains(&"taesd/diffusion_pytorch_model.safetensors"), "{names:?}");
    assert!(!names.iter().any(|name| name.starts_with("vae/")), "{names:?}");
    assert_eq!(tiny["needs"]["weights"], json!(counted(&model, &tiny["files"]).0), "{tiny}");
    assert!(number(&tiny["decoder"]["weights"]) < number(&tiny["needs"]["weights"]), "{tiny}");
    assert_eq!(tiny["side"], larger["side"]);
}

#[test]
fn previews_are_as_large_as_the_pictures_that_were_learnt() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(&folder.path().join("data"), &["--preview", "sdxl-tiny"]);
    let studio = Studio::full(server.client());
    let number = |value: &Value| value.as_u64().expect("a number");
    let own = studio.get("preview");
    assert_eq!(own["guidance"], json!(5.0), "{own}");
    let side = 2 * number(&own["side"]);
    let run = studio.train(2, &json!({ "resolution": side }));
    studio.done(&run["job"]);
    let trained = studio.get("preview");
    assert_eq!(trained["lora"]["run"], run["id"], "{trained}");
    // By the names that it was trained on, whatever the subjects are called now.
    assert!(run["subjects"].as_array().is_some_and(|subjects| !subjects.is_empty()), "{run}");
    assert_eq!(trained["lora"]["subjects"], run["subjects"]);
    assert_eq!(number(&trained["side"]), side);
    let needed = |told: &Value| number(&told["needs"]["largest_activation"]);
    assert_eq!(needed(&trained), 4 * needed(&own));
    assert_eq!(trained["decoder"], own["decoder"]);
}
