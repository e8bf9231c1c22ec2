//! The program as a user meets it: files in, files out, exit codes and messages.

use std::path::Path;
use std::process::Command;

use mudi_engine_candle::nchw;
use mudi_engine_candle::weights::{NamedTensors, read_safetensors, to_safetensors};
use mudi_tests::golden::{error_of_range, fixture, tensors, values};
use mudi_tests::workshop::{Workshop, copy_folder, failed, json, mudi, ok, program, refs, refused, shipped};

/// What a run with Prodigy is given, and more that is not the default.
const PRODIGY: [&str; 12] = [
    "--optimizer",
    "prodigy",
    "--learning-rate",
    "1",
    "--min-snr-gamma",
    "5",
    "--regularization",
    "none",
    "--aspect-buckets",
    "true",
    "--vae-tile",
    "32",
];

/// What a run is given whose text encoders learn, too.
const TEXT: [&str; 6] =
    ["--text-encoder-learning-rate", "5e-5", "--sample-every", "3", "--sample-prompts", "olis and hta"];

#[test]
fn a_resumed_run_gives_the_bytes_of_an_uninterrupted_one() {
    let shop = Workshop::new();
    shop.toys();
    let variants: [(&str, &[&str]); 10] = [
        ("mudi", &[]),
        ("dco", &["--regularization", "dco", "--accumulation", "2"]),
        ("kl", &["--regularization", "kl", "--kl-weight", "0.5"]),
        ("dreambooth", &["--method", "dreambooth", "--regularization", "none"]),
        ("cutmix", &["--method", "cutmix", "--gradient-checkpointing", "false"]),
        ("eight", &["--optimizer", "adamw8bit", "--learning-schedule", "cosine", "--warmup-steps", "2"]),
        ("prodigy", &PRODIGY),
        ("text", &TEXT),
        (
            "dora",
            &[&TEXT[..], &["--dora", "true", "--precision", "half", "--learning-rate", "0.01"]].concat(),
        ),
        ("text and dco", &[&TEXT[..], &["--regularization", "dco", "--accumulation", "2"]].concat()),
    ];
    for (name, further) in variants {
        ok(&refs(&shop.train(&format!("{name}-whole"), further)));
        let parts = format!("{name}-parts");
        ok(&refs(&shop.train(&parts, &[further, &["--stop-after", "2"]].concat())));
        assert!(!Path::new(&shop.path(&parts)).join("pytorch_lora_weights.safetensors").exists());
        let priors = Path::new(&shop.path(&parts)).join("priors.safetensors");
        if name == "cutmix" {
            std::fs::write(&priors, b"damaged").expect("there are prior images, and they are made again");
        }
        ok(&refs(&shop.train(&parts, &[further, &["--resume", "--stop-after", "3"]].concat())));
        assert_eq!(priors.exists(), ["mudi", "cutmix", "eight", "text", "dora"].contains(&name));
        if name == "eight" {
            std::fs::remove_file(&priors).expect("there are prior images");
            ok(&refs(&shop.train(&parts, &[further, &["--resume", "--stop-after", "3"]].concat())));
            assert!(!priors.exists(), "where no step is left none are made");
        }
        ok(&refs(&shop.train(&parts, &[further, &["--resume"]].concat())));
        assert!(!priors.exists(), "{name}: only a run that goes on needs them");
        for file in
            ["checkpoint.safetensors", "pytorch_lora_weights.safetensors", "metrics.jsonl", "recipe.json"]
        {
            let (whole, parts) =
                (shop.bytes(&format!("{name}-whole/{file}")), shop.bytes(&format!("{parts}/{file}")));
            assert!(whole == parts, "{name}: {file} differs");
        }
    }
}

#[test]
fn forward_gives_the_golden_tensors() {
    let shop = Workshop::new();
    for network in ["unet", "text_encoder", "text_encoder_2", "vae_encoder", "vae_decoder"] {
        let inputs = fixture(&format!("sdxl-tiny/golden/{network}.safetensors"));
        let out = shop.path("out.safetensors");
        let inputs = inputs.display().to_string();
        ok(&["forward", "--base", &shop.base, "--network", network, "--inputs", &inputs, "--out", &out]);
        let golden = tensors(&format!("sdxl-tiny/golden/{network}.safetensors"));
        let found = read_safetensors(Path::new(&out)).expect("the outputs");
        for (name, value) in &found {
            let Some(expected) = golden.get(&format!("out.{name}")) else { continue };
            assert_eq!(value.dims(), expected.dims(), "{network} {name}");
            assert!(error_of_range(&values(value), &values(expected)) <= 1e-5, "{network} {name}");
        }
        assert!(
            found.keys().any(|name| golden.contains_key(&format!("out.{name}"))),
            "{network}: nothing compared"
        );
    }
}

#[test]
fn the_whole_pipeline_equals_diffusers() {
    let golden = tensors("sdxl-tiny/golden/pipeline.safetensors");
    let text: serde_json::Value = serde_json::from_str(
        &std::fs::read_to_string(fixture("sdxl-tiny/golden/pipeline.json")).expect("json"),
    )
    .expect("json");
    let field = |name: &str| text[name].as_str().unwrap_or_else(|| panic!("{name} in {text}")).to_owned();
    // Diffusers' latents are not square here, so this goes through the library.
    let base = mudi::base::Base::load(&fixture("sdxl-tiny"), mudi_engine_candle::weights::Precision::Single)
        .expect("the base");
    let noise = nchw::to_channels_last(&golden["latents"]).expect("latents");
    let start = mudi::generate::Start { seed: 0, mean: None, noise: Some(values(noise.value())) };
    let settings = mudi::generate::Settings {
        size: [64, 96],
        steps: 4,
        guidance: text["guidance_scale"].as_f64().unwrap_or(5.0) as f32,
        ..mudi::generate::Settings::for_base(&base)
    };
    let (prompt, negative) = (field("prompt"), field("negative_prompt"));
    for (negative, name) in [(negative.as_str(), "out.latents"), ("", "out.latents_without_negative")] {
        let starts = [start.clone()];
        let texts = base.encode_pair(&prompt, negative).expect("texts");
        let found = mudi::generate::sample(&base, &texts, &settings, &starts, |_| {}).expect("latents");
        let expected = nchw::to_channels_last(&golden[name]).expect("latents");
        let error = error_of_range(&found, &values(expected.value()));
        println!("{name} after 4 steps: max error {error:.2e} of the range");
        assert!(error <= 1e-5, "{name}: {error:e}");
    }
}

#[test]
fn bad_input_is_refused_with_its_name_and_leaves_nothing() {
    let shop = Workshop::new();
    shop.toys();
    let out = shop.path("never");
    let base = shop.base.as_str();
    let photos = shop.path("toys");
    refused(
        &["train", "--photos", "/no/such", "--base", base, "--out", &out],
        &["/no/such", "metadata.jsonl"],
    );
    refused(&["train", "--photos", &photos, "--base", "/no/base", "--out", &out], &["/no/base", "--base"]);
    refused(&["train", "--photos", &photos, "--base", base, "--out", &out, "--rank", "0"], &["rank"]);
    refused(&["train", "--photos", &photos, "--base", base, "--out", &out, "--targets", "to_x"], &["to_x"]);
    let recipe = shop.path("recipe.json");
    std::fs::write(&recipe, r#"{"stepz": 3}"#).expect("write");
    let arguments = ["train", "--photos", &photos, "--base", base, "--out", &out, "--recipe", &recipe];
    refused(&arguments, &["recipe.json", "stepz", "steps"]);

    let image = shop.path("toys/a00.png");
    let whole = shop.bytes("toys/a00.png");
    for (bytes, word) in
        [(&b""[..], "empty"), (&whole[..whole.len() / 2], "a00.png"), (&b"not a picture"[..], "a00.png")]
    {
        std::fs::write(&image, bytes).expect("write");
        refused(&["train", "--photos", &photos, "--base", base, "--out", &out], &["a00.png", word]);
    }
    std::fs::write(&image, &whole).expect("write");
    std::fs::remove_file(shop.path("toys/mask_a00.png")).expect("remove");
    refused(&["train", "--photos", &photos, "--base", base, "--out", &out], &["mask_a00.png"]);
    assert!(!Path::new(&out).exists(), "nothing is written");
}

#[test]
fn a_run_folder_is_never_overwritten() {
    let shop = Workshop::new();
    shop.toys();
    ok(&refs(&shop.train("run", &[])));
    let before = shop.bytes("run/checkpoint.safetensors");
    refused(&refs(&shop.train("run", &[])), &["--resume"]);
    refused(&refs(&shop.train("run", &["--resume", "--seed", "9"])), &["recipe"]);
    let lock = std::fs::File::open(shop.path("run/lock")).expect("the lock");
    lock.lock().expect("nobody else trains here");
    refused(&refs(&shop.train("run", &["--resume"])), &["another process", "--out"]);
    drop(lock);
    assert_eq!(before, shop.bytes("run/checkpoint.safetensors"));
}

#[test]
fn a_recipe_given_back_gives_the_same_lora() {
    let shop = Workshop::new();
    shop.toys();
    let odd = ["--learning-rate", "0.00012345678", "--seed", "7", "--targets", "to_q,to_v", "--batch", "2"];
    ok(&refs(&shop.train("first", &odd)));
    let (photos, recipe, out) = (shop.path("toys"), shop.path("first/recipe.json"), shop.path("second"));
    let files = ["train", "--photos", &photos, "--base", &shop.base, "--out", &out, "--recipe", &recipe];
    ok(&[&files[..], &["--quiet"]].concat());
    let (start, third) = (shop.path("first/run.json"), shop.path("third"));
    let files = ["train", "--photos", &photos, "--base", &shop.base, "--out", &third, "--recipe", &start];
    refused(&files, &["run.json", "its recipe is", "recipe.json"]);
    for file in ["pytorch_lora_weights.safetensors", "recipe.json", "metrics.jsonl"] {
        let (first, second) = (shop.bytes(&format!("first/{file}")), shop.bytes(&format!("second/{file}")));
        assert!(first == second, "{file} differs");
    }
}

#[test]
fn the_number_of_threads_changes_no_byte() {
    let shop = Workshop::new();
    shop.toys();
    let with = |threads: &str, arguments: &[&str]| {
        let output = Command::new(program()).args(arguments).env("RAYON_NUM_THREADS", threads).output();
        let output = output.expect("the program starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let dense = ["--batch", "3", "--gradient-checkpointing", "false"];
    for (run, threads) in [("one", "1"), ("three", "3")] {
        with(threads, &refs(&shop.train(run, &dense)));
        let (lora, out) = (shop.path(run), shop.path(&format!("{run}-pictures")));
        let prompt = ["generate", "--run", &lora, "--prompt", "olis bear", "--steps", "2", "--no-metadata"];
        with(threads, &[&prompt[..], &["--count", "2", "--quiet", "--out", &out]].concat());
    }
    for [one, three] in [
        ["one/pytorch_lora_weights.safetensors", "three/pytorch_lora_weights.safetensors"],
        ["one/metrics.jsonl", "three/metrics.jsonl"],
        ["one-pictures/0000.png", "three-pictures/0000.png"],
        ["one-pictures/0001.png", "three-pictures/0001.png"],
    ] {
        assert!(shop.bytes(one) == shop.bytes(three), "{one} differs");
    }
}

#[test]
fn a_run_does_not_go_on_with_other_photos() {
    let shop = Workshop::new();
    shop.toys();
    ok(&refs(&shop.train("run", &["--stop-after", "2"])));
    let resume = shop.train("run", &["--resume"]);
    let before = shop.bytes("run/checkpoint.safetensors");
    let text = String::from_utf8(shop.bytes("toys/metadata.jsonl")).expect("text");
    let changed = |file: &str, bytes: &[u8]| {
        let old = shop.bytes(file);
        std::fs::write(shop.path(file), bytes).expect("write");
        refused(&refs(&resume), &[file.trim_start_matches("toys/"), "changed", "--out"]);
        std::fs::write(shop.path(file), old).expect("write");
    };
    changed("toys/a01.png", &shop.bytes("toys/a02.png"));
    changed("toys/mask_b00.png", &shop.bytes("toys/mask_b01.png"));
    changed("toys/metadata.jsonl", text.replace("A photo of", "A picture of").as_bytes());
    // A photo that is taken away is named, too.
    let fewer: Vec<&str> = text.lines().filter(|line| !line.contains("b02.png")).collect();
    std::fs::write(shop.path("toys/metadata.jsonl"), fewer.join("\n")).expect("write");
    refused(&refs(&resume), &["b02.png, mask_b02.png and metadata.jsonl", "have changed"]);
    std::fs::write(shop.path("toys/metadata.jsonl"), &text).expect("write");
    assert!(before == shop.bytes("run/checkpoint.safetensors"), "nothing was trained");
    // With the old files back, it goes on.
    ok(&refs(&resume));
}

#[test]
fn every_command_prints_one_json_object() {
    let shop = Workshop::new();
    let toys = shop.path("toys");
    let made = json(&["toybox", "--photos", "3", "--size", "64", "--out", &toys]);
    assert_eq!((&made["out"], &made["photos"]), (&toys.clone().into(), &6.into()));
    assert_eq!(made["toys"].as_array().map(Vec::len), Some(2));

    let trained = json(&refs(&shop.train("run", &[])));
    assert_eq!((&trained["run"], &trained["steps"]), (&shop.path("run").into(), &6.into()));
    assert!(trained["loss"].as_f64().is_some_and(f64::is_finite), "{trained}");

    let (run, out) = (shop.path("run"), shop.path("pictures"));
    let one = ["--steps", "1", "--count", "2", "--seed", "5", "--layout", "random", "--out", &out];
    let drawn = json(&[&["generate", "--run", &run, "--prompt", "olis"], &one[..]].concat());
    let pictures = drawn["pictures"].as_array().expect("pictures");
    assert_eq!(pictures.len(), 2);
    for (index, picture) in pictures.iter().enumerate() {
        assert_eq!(picture["seed"], 5 + index);
        assert!(Path::new(picture["file"].as_str().expect("a path")).is_file(), "{picture}");
    }

    let inputs = fixture("sdxl-tiny/golden/text_encoder.safetensors").display().to_string();
    let out = shop.path("out.safetensors");
    let network = ["--network", "text_encoder", "--inputs", &inputs, "--out", &out];
    let found = json(&[&["forward", "--base", &shop.base], &network[..]].concat());
    assert_eq!(found["out"], out);
    assert!(found["tensors"]["hidden_states"].is_array(), "{found}");

    let out = shop.path("demo");
    let small = ["demo", "--base", &shop.base, "--out", &out, "--steps", "1", "--count", "1"];
    let networks = networks();
    let demo = json(&[&small[..], &refs(&networks)].concat());
    for file in ["page", "report"] {
        assert!(Path::new(demo[file].as_str().expect("a path")).is_file(), "{demo}");
    }

    let table = json(&["bench", "--base", &shop.base, "--runs", "1"]);
    assert!(table["rows"].as_array().is_some_and(|rows| !rows.is_empty()), "{table}");
    // `pretrain` is asked in a file of its own.

    let output = mudi(&["toybox", "--json", "--out", &toys]);
    failed(&output, &["not empty"]);
    assert!(output.stdout.is_empty(), "a failure prints no object");
}

#[test]
fn weights_that_do_not_fit_are_named() {
    let shop = Workshop::new();
    let base = shop.path("base");
    copy_folder(&fixture("sdxl-tiny"), Path::new(&base));
    let weights = shop.path("base/unet/diffusion_pytorch_model.safetensors");
    let inputs = fixture("sdxl-tiny/golden/unet.safetensors").display().to_string();
    let out = shop.path("out.safetensors");
    let forward = ["forward", "--base", &base, "--network", "unet", "--inputs", &inputs, "--out", &out];
    let whole = read_safetensors(Path::new(&weights)).expect("weights");
    let write = |tensors: &NamedTensors| {
        std::fs::write(&weights, to_safetensors(tensors, None).expect("bytes")).expect("write");
    };
    let mut missing = whole.clone();
    missing.remove("conv_in.weight");
    write(&missing);
    refused(&forward, &["diffusion_pytorch_model", "conv_in.weight", "missing"]);
    let mut extra = whole.clone();
    extra.insert("one.too.many".to_owned(), whole["conv_in.bias"].clone());
    write(&extra);
    refused(&forward, &["diffusion_pytorch_model", "one.too.many"]);
    let mut misshapen = whole.clone();
    misshapen.insert("conv_in.weight".to_owned(), whole["conv_in.bias"].clone());
    write(&misshapen);
    refused(&forward, &["diffusion_pytorch_model", "conv_in.weight", "shape"]);
    std::fs::write(&weights, b"short").expect("write");
    refused(&forward, &["diffusion_pytorch_model", "safetensors"]);
    assert!(!Path::new(&out).exists(), "nothing is written");
}

#[test]
fn a_plan_tells_what_training_takes_and_what_does_not_fit_is_refused() {
    let shop = Workshop::new();
    shop.toys();
    // A UNet of 51 million weights: in miniature, what the program needs besides would hide the model.
    let scratch = shop.path("scratch");
    let bench = json(&["bench", "--set", "medium", "--runs", "1", "--scratch", &scratch]);
    let row = |rows: &serde_json::Value, key: &str, value: &str, figure: &str| {
        let row = rows["rows"].as_array().and_then(|rows| rows.iter().find(|row| row[key] == value).cloned());
        row.and_then(|row| row[figure].as_f64()).expect("the row")
    };
    let measured = row(&bench, "name", "51 M UNet, 32x32 latents, LoRA step, peak memory", "ours");
    let recipe = ["--batch", "1", "--rank", "32", "--resolution", "256", "--regularization", "none"];
    let model = format!("{scratch}/medium");
    let plan = json(&[&["plan", "--base", &model], &recipe[..]].concat());
    let planned = row(&plan, "job", "train, without gradient checkpointing", "total") / f64::from(1 << 20);
    assert!((planned / measured - 1.0).abs() < 0.15, "planned {planned} MiB, measured {measured} MiB");

    // A mebibyte is never enough.
    failed(
        &mudi(&refs(&shop.train("small", &["--memory", "0.001"]))),
        &["needs", "MiB", "none of --", "--precision half"],
    );
    assert!(!std::path::Path::new(&shop.path("small")).exists(), "nothing is written");
    let pictures = shop.path("pictures");
    let arguments =
        ["generate", "--base", &shop.base, "--prompt", "a", "--memory", "0.001", "--out", &pictures];
    failed(&mudi(&arguments), &["needs", "MiB", "none of --", "--precision half"]);
}

/// The small networks that see, wherever the program was built.
fn networks() -> [String; 6] {
    let folder = |name: &str| shipped(name);
    [
        "--detector".to_owned(),
        folder("owlv2-toybox"),
        "--segmenter".to_owned(),
        folder("sam-toybox"),
        "--embedder".to_owned(),
        folder("dinov2-toybox"),
    ]
}

#[test]
fn the_demonstration_writes_its_page() {
    let shop = Workshop::new();
    let out = shop.path("demo");
    let networks = networks();
    let small = ["demo", "--base", &shop.base, "--out", &out, "--steps", "2", "--count", "2", "--quiet"];
    let arguments = [&small[..], &refs(&networks)].concat();
    assert!(ok(&arguments).contains("report.html"));
    let page = String::from_utf8(shop.bytes("demo/report.html")).expect("text");
    for word in
        ["DreamBooth", "Cut-Mix", "MuDI", "data:image/png;base64", "The verdict", "Detect-and-Compare"]
    {
        assert!(page.contains(word), "{word}");
    }
    let report: serde_json::Value = serde_json::from_slice(&shop.bytes("demo/report.json")).expect("json");
    assert_eq!(report["methods"].as_array().map(Vec::len), Some(3));
    let scores = &report["methods"][0]["grids"][0]["rows"][0]["scores"];
    assert!(scores.as_array().is_some_and(|scores| scores.len() == 2 && scores[0]["score"].is_number()));
    // Again in the same folder, and never over somebody's own files.
    ok(&arguments);
    let own = shop.path("own");
    std::fs::create_dir(&own).expect("a folder");
    std::fs::write(Path::new(&own).join("diary.txt"), "mine").expect("write");
    refused(&["demo", "--base", &shop.base, "--out", &own, "--quiet"], &["own", "--out"]);
}
