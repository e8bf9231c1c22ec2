//! What a browser paints is what the server makes: the same model, layout, seed and text, on both engines.

#[path = "preview/taesd.rs"]
mod taesd;

use std::path::Path;

use image::{Rgb, RgbImage};
use mudi::base::{Base, Source};
use mudi::generate::{Settings, Start, pictures};
use mudi::plan;
use mudi_diffusion::schedule::SamplerKind;
use mudi_diffusion::vae::VaeConfig;
use mudi_diffusion::{Engine, Readable};
use mudi_domain::rng;
use mudi_engine_candle::lora::Adaptation;
use mudi_engine_candle::weights::{Precision, to_safetensors};
use mudi_engine_candle::{CandleEngine, lora};
use mudi_engine_wgpu::{Gpu, Settings as GpuSettings, Storage, WgpuEngine};
use mudi_preview::fit::{self, Limits};
use mudi_preview::{Canvas, FILES, Files, Model, Painter, Wish};
use mudi_tests::patience::finished;
use mudi_tests::pictures::psnr;

const PROMPT: &str = "A photo of a red bear and a blue cat.";
const NEGATIVE: &str = "sticker, collage.";
const SEED: u64 = 3;
const STEPS: usize = 6;

fn pocket() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/pocket")
}

fn files() -> Files {
    let read = |name: &str| Some((name.to_owned(), std::fs::read(pocket().join(name)).ok()?));
    FILES.into_iter().filter_map(read).collect()
}

/// A red and a blue square on white, and their mask.
fn layout(width: u32, height: u32) -> (RgbImage, Vec<bool>) {
    let inside = |x: u32, y: u32, left: u32| (left..left + 30).contains(&x) && (40..75).contains(&y);
    let image = RgbImage::from_fn(width, height, |x, y| match (inside(x, y, 10), inside(x, y, 55)) {
        (true, _) => Rgb([200, 40, 40]),
        (_, true) => Rgb([40, 60, 200]),
        _ => Rgb([255; 3]),
    });
    let covered = (0..width * height).map(|at| {
        let (x, y) = (at % width, at / width);
        inside(x, y, 10) || inside(x, y, 55)
    });
    (image, covered.collect())
}

/// A picture without a layout, by the settings that the server has for a base.
fn wish(prompt: &str, negative: &str, steps: usize) -> Wish {
    Wish {
        prompt: prompt.to_owned(),
        negative: negative.to_owned(),
        canvas: None,
        gamma: 0.0,
        seed: SEED,
        sampler: SamplerKind::default(),
        karras: None,
        steps,
        guidance: 5.0,
        lora_scale: 1.0,
    }
}

/// The last picture, and how many there were.
fn painted<E: Readable>(engine: E, wish: &Wish) -> (Vec<u8>, usize) {
    let model = Model::load(&engine, files(), None).expect("pocket's files");
    let mut painter = Painter::new(engine, model);
    let mut painting = painter.begin(wish.clone()).expect("a wish that can be fulfilled");
    let (mut last, mut count) = (Vec::new(), 0);
    while !painting.done() {
        last = finished(painter.step(&mut painting)).expect("a step").pixels;
        count += 1;
    }
    (last, count)
}

/// A wish for a picture of this height and width that starts from a layout, and what the server makes of it.
fn wished_and_made(base: &Base, [height, width]: [usize; 2]) -> (Wish, Vec<u8>) {
    let (image, covered) = layout(width as u32, height as u32);
    let [h, w] = base.latent_size(height, width).expect("a size of its own");
    let reduction = height / h;
    // The share of each latent's pixels that is covered.
    let mask: Vec<f32> = (0..h * w)
        .map(|at| {
            let (top, left) = (at / w * reduction, at % w * reduction);
            let pixels = (0..reduction * reduction)
                .filter(|at| covered[(top + at / reduction) * width + left + at % reduction]);
            pixels.count() as f32 / (reduction * reduction) as f32
        })
        .collect();

    let channels = base.vae.config.latent_channels;
    let mut mean = base.encode_images(&[&image]).expect("latents");
    mean.chunks_exact_mut(channels).zip(&mask).for_each(|(v, mask)| v.iter_mut().for_each(|v| *v *= mask));
    let start = Start { seed: SEED, mean: Some(mean), noise: None };
    let size = [height, width];
    let settings = Settings { size, steps: STEPS, gamma: 1.5, ..Settings::for_base(base) };
    let texts = base.encode_pair(PROMPT, NEGATIVE).expect("encoded texts");
    let server = pictures(base, &texts, &settings, &[start], |_| ()).expect("the server's picture");

    let wish = Wish {
        canvas: Some(Canvas { width, height, pixels: image.into_raw(), mask }),
        gamma: 1.5,
        ..wish(PROMPT, NEGATIVE, STEPS)
    };
    (wish, server[0].as_raw().clone())
}

#[test]
fn both_engines_paint_what_the_server_makes() {
    let base = Base::load(&pocket(), Precision::Single).expect("pocket");
    let on_gpu = |storage: Storage, wish: &Wish| {
        let gpu = finished(Gpu::start()).expect("a GPU, or an emulated one (on Debian: mesa-vulkan-drivers)");
        let settings = GpuSettings { storage, ..GpuSettings::for_adapter(&gpu.adapter) };
        painted(WgpuEngine::new(gpu, settings).expect("the adapter stores both"), wish).0
    };
    let (wish, server) = wished_and_made(&base, [base.resolution(); 2]);
    let (on_processor, steps) = painted(CandleEngine::cpu(), &wish);
    assert_eq!(steps, STEPS);
    let processor = psnr(&on_processor, &server);
    assert!(processor > 50.0, "candle: {processor:.1} dB");

    for (storage, least) in [(Storage::Single, 45.0), (Storage::Half, 35.0)] {
        let gpu = psnr(&on_gpu(storage, &wish), &server);
        assert!(gpu > least, "wgpu, {storage:?}: {gpu:.1} dB");
    }
    // Another seed is another picture.
    let (other, _) = painted(CandleEngine::cpu(), &Wish { seed: SEED + 1, ..wish });
    assert!(psnr(&other, &server) < 30.0);
    // A landscape.
    let (wide, server) = wished_and_made(&base, [80, 112]);
    let processor = psnr(&painted(CandleEngine::cpu(), &wide).0, &server);
    assert!(processor > 50.0, "candle, 112 x 80: {processor:.1} dB");
    let gpu = psnr(&on_gpu(Storage::Single, &wide), &server);
    assert!(gpu > 45.0, "wgpu, 112 x 80: {gpu:.1} dB");
}

/// A text is no other in a browser: weights, brackets that are text, more tokens than an encoder reads at once, a negative prompt of
/// another length, none.
#[test]
fn prompts_are_read_as_the_server_reads_them() {
    const STEPS: usize = 2;
    let long = "a red bear and a blue cat in the snow, ".repeat(8);
    let base = Base::load(&pocket(), Precision::Single).expect("pocket");
    let settings = Settings { steps: STEPS, ..Settings::for_base(&base) };
    let start = [Start { seed: SEED, ..Start::default() }];
    let engine = CandleEngine::cpu();
    let mut painter =
        Painter::new(engine.clone(), Model::load(&engine, files(), None).expect("pocket's files"));
    let mut different = std::collections::HashSet::new();
    let long_end = format!("{long}(a green robot:1.4)");
    for (prompt, negative) in [
        (r"a \(red\) bear", ""),
        ("a (red:1.6) bear and a [blue] cat", "sticker"),
        (long_end.as_str(), "(sticker:0.5)"),
        ("a red bear", long.as_str()),
    ] {
        let texts = base.encode_pair(prompt, negative).expect("encoded texts");
        let server = pictures(&base, &texts, &settings, &start, |_| ()).expect("the server's picture");
        let mut painting =
            painter.begin(wish(prompt, negative, STEPS)).expect("a wish that can be fulfilled");
        finished(painter.step(&mut painting)).expect("a step");
        let painted = finished(painter.step(&mut painting)).expect("a step").pixels;
        let near = psnr(&painted, server[0].as_raw());
        assert!(near > 50.0, "{prompt:?}: {near:.1} dB");
        different.insert(painted);
    }
    assert_eq!(different.len(), 4);
}

#[test]
fn a_projects_lora_is_painted_of_denoiser_and_text_encoders() {
    painted_like_the_server(false);
}

#[test]
fn a_projects_dora_is_painted_too() {
    painted_like_the_server(true);
}

fn painted_like_the_server(dora: bool) {
    const RANK: usize = 2;
    const ALPHA: f32 = 3.0;
    let mut base = Base::load(&pocket(), Precision::Single).expect("pocket");
    let plain = base.encode_pair(PROMPT, NEGATIVE).expect("encoded texts");
    let factor = |name: &str, shape: &[usize]| -> Vec<f32> {
        let count = shape.iter().product();
        let deviation = 0.5 / (count as f32 / shape[0] as f32).sqrt();
        rng::normal(&mut rng::stream(SEED, name, 0), count).iter().map(|v| deviation * v).collect()
    };
    let adaptation = Adaptation { rank: RANK, alpha: ALPHA, dora };
    let targets = ["to_q", "to_k", "to_v", "to_out.0", "conv1"].map(String::from);
    let mut learning = lora::attach_trainable(&mut base.unet, &targets, adaptation, factor).expect("layers");
    let text = base.text.as_mut().expect("text encoders");
    learning.extend(text.attach_trainable(adaptation, factor).expect("layers"));
    for weight in learning.weights.iter().filter(|weight| weight.name.contains("magnitude")) {
        let lengths = weight.leaf.value().to_vec1::<f32>().expect("lengths");
        let changed = lengths.iter().zip(0..).map(|(length, at)| length * (0.8 + 0.1 * (at % 5) as f32));
        weight.set(changed.collect()).expect("as many lengths");
    }
    let tensors = lora::to_file(&learning.weights, &base.unet.config).expect("tensors");
    let bytes = to_safetensors(&tensors, None).expect("a file");

    for scale in [1.0, 0.5] {
        let texts = base.encode_pair_with(PROMPT, NEGATIVE, scale).expect("encoded texts");
        let settings = Settings { steps: 2, lora_scale: scale, ..Settings::for_base(&base) };
        let start = [Start { seed: SEED, ..Start::default() }];
        let picture =
            |texts| pictures(&base, texts, &settings, &start, |_| ()).expect("the server's picture");
        let (server, without) = (picture(&texts), picture(&plain));
        let engine = CandleEngine::cpu();
        let model = Model::load(&engine, files(), Some((&bytes, ALPHA))).expect("pocket's files");
        let mut painter = Painter::new(engine, model);
        let wish = Wish { lora_scale: scale, ..wish(PROMPT, NEGATIVE, 2) };
        let mut painting = painter.begin(wish).expect("a wish that can be fulfilled");
        finished(painter.step(&mut painting)).expect("a step");
        let painted = finished(painter.step(&mut painting)).expect("a step").pixels;
        let near = psnr(&painted, server[0].as_raw());
        assert!(near > 50.0, "at {scale}: {near:.1} dB");
        let far = psnr(&painted, without[0].as_raw());
        assert!(far < 40.0, "at {scale}: the text encoders' part counts, {far:.1} dB");
    }
}

#[test]
fn memory_does_not_grow_from_picture_to_picture() {
    let gpu = finished(Gpu::start()).expect("a GPU, or an emulated one (on Debian: mesa-vulkan-drivers)");
    let settings = GpuSettings::for_adapter(&gpu.adapter);
    let engine = WgpuEngine::new(gpu, settings).expect("its own settings");
    let model = Model::load(&engine, files(), None).expect("pocket's files");
    let mut painter = Painter::new(engine, model);
    let mut taken = Vec::new();
    for seed in 0..4 {
        let wish = Wish { seed, ..wish(PROMPT, "", 2) };
        let mut painting = painter.begin(wish).expect("a wish that can be fulfilled");
        // One is dropped half-way, as when something is dragged.
        finished(painter.step(&mut painting)).expect("a step");
        if seed != 1 {
            finished(painter.step(&mut painting)).expect("a step");
        }
        drop(painting);
        taken.push(painter.engine().memory());
    }
    assert_eq!(taken[1..], [taken[1]; 3], "{taken:?}");

    // What is told before anything is loaded is about that, and not less.
    let [needs, _] =
        plan::preview(&Source::open(&pocket()).expect("pocket"), None).expect("its configurations");
    let adapter = &painter.engine().gpu().adapter;
    let value = painter.engine().settings().storage.bytes();
    let limits = Limits { value, largest: Some(adapter.largest_tensor), memory: None, own: false };
    let told = fit::part(&[], &needs, &limits, 0).expect("it fits");
    println!("{} bytes taken, {told} told", taken[1]);
    assert!((taken[1]..2 * taken[1]).contains(&told), "{} bytes taken, {told} told", taken[1]);
}

/// A layout of which a base sees nothing is refused, and a picture that is not made of numbers is none.
#[test]
fn what_the_server_refuses_is_not_painted() {
    let mut files = files();
    let vae: VaeConfig =
        mudi_diffusion::parse(&String::from_utf8_lossy(&files["vae/config.json"])).expect("pocket's");
    let name = "scheduler/scheduler_config.json";
    let mut config: serde_json::Value = serde_json::from_slice(&files[name]).expect("JSON");
    config["rescale_betas_zero_snr"] = true.into();
    config["prediction_type"] = "v_prediction".into();
    config["timestep_spacing"] = "trailing".into();
    files.insert(name.to_owned(), config.to_string().into_bytes());
    let engine = CandleEngine::cpu();
    let model = Model::load(&engine, files, None).expect("pocket's files");
    let mut painter = Painter::new(engine, model);

    let side = painter.model().resolution();
    let mask = vec![1.0; (side / vae.reduction()).pow(2)];
    let pixels = layout(side as u32, side as u32).0.into_raw();
    let canvas = Canvas { width: side, height: side, pixels, mask };
    let odd = Wish { canvas: Some(Canvas { width: side + 1, ..canvas.clone() }), ..wish(PROMPT, "", 2) };
    let refusal = painter.begin(odd).err().expect("a refusal").to_string();
    assert!(refusal.contains("97 x 96 pixels; multiples of"), "{refusal}");
    let wished = Wish { canvas: Some(canvas), gamma: 1.5, ..wish(PROMPT, "", 2) };
    let refusal = painter.begin(wished.clone()).err().expect("a refusal").to_string();
    assert!(refusal.contains("zero terminal SNR"), "{refusal}");
    assert!(painter.begin(Wish { gamma: 0.0, ..wished }).is_ok());

    let wished = Wish { guidance: f32::MAX, ..wish(PROMPT, "", 2) };
    let mut painting = painter.begin(wished).expect("a wish that can be fulfilled");
    let fault = finished(painter.step(&mut painting)).expect_err("no numbers").to_string();
    assert!(fault.contains("not made of numbers any more after step 1"), "{fault}");
}

#[test]
fn a_lost_gpu_says_so() {
    let gpu = finished(Gpu::start()).expect("a GPU, or an emulated one (on Debian: mesa-vulkan-drivers)");
    let settings = GpuSettings::for_adapter(&gpu.adapter);
    let engine = WgpuEngine::new(gpu, settings).expect("its own settings");
    let x = engine.from_slice(&[1.0; 8], &[2, 4]).expect("a tensor");
    engine.gpu().destroy();
    let error = finished(engine.read(&engine.scale(&x, 2.0).expect("a record"))).expect_err("no GPU");
    assert!(error.to_string().contains("lost"), "{error}");
}

#[test]
fn files_that_do_not_belong_together_are_named() {
    let engine = CandleEngine::cpu();
    let failed = |change: &dyn Fn(&mut Files)| {
        let mut all = files();
        change(&mut all);
        Model::load(&engine, all, None).err().expect("a failure").to_string()
    };
    let unet = "unet/diffusion_pytorch_model.safetensors";
    assert!(failed(&|all| drop(all.remove(unet))).contains(unet));
    assert!(failed(&|all| drop(all.insert(unet.to_owned(), vec![0; 64]))).contains(unet));
    let cut = |all: &mut Files| {
        all.get_mut(unet).expect("weights").truncate(1 << 20);
    };
    assert!(failed(&cut).contains(unet));
    let other = |all: &mut Files| {
        let text = all["text_encoder/model.safetensors"].clone();
        all.insert(unet.to_owned(), text);
    };
    assert!(failed(&other).contains("time_embedding"), "{}", failed(&other));
    assert!(
        failed(&|all| drop(all.insert("unet/config.json".to_owned(), b"{".to_vec()))).contains("config.json")
    );
}
