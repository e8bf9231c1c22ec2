//! Inputs to begin with: for each function of [`super`] a few that it accepts, small and of different kinds.

use candle_core::{DType, Device, Tensor};
use image::{DynamicImage, GrayImage, ImageFormat, Luma, Rgb, RgbImage, Rgba, RgbaImage};
use mudi_diffusion::tokenizer::Tokenizer;
use mudi_domain::recipe::Recipe;
use mudi_engine_candle::weights::{NamedTensors, to_safetensors};

use super::SEPARATOR;
use crate::fixtures;
use crate::pictures::encoded;

/// Inputs for the function that has the name `target` in [`super::TARGETS`]; none for another name.
#[must_use]
pub fn seeds(target: &str) -> Vec<Vec<u8>> {
    match target {
        "image" => images(),
        "mask" => masks(),
        "metadata" => texts(&[METADATA, "{\"id\":{\"a\":\"x y\"}}\n{\"id\":\"a\",\"file_name\":\"a.png\"}"]),
        "layout" => texts(&[LAYOUT]),
        "recipe" => texts(&["{}", r#"{"steps": 3, "learning_rate": 1e-3}"#, &Recipe::default().to_json()]),
        "config" => configs(),
        "weights" => weights(),
        "pth" => vec![std::fs::read(fixtures::path("torch_save.pth")).expect("a fixture")],
        "tokenizer" => tokenizers(),
        "checkpoint" => vec![checkpoint()],
        _ => Vec::new(),
    }
}

const METADATA: &str = r#"{"id": {"a": "olis Weimaraner", "b": "hta orange tabby cat"}}
{"id": "a", "file_name": "a00.jpg", "mask_path": "masks/a00.png", "text": "A photo of a olis Weimaraner."}
{"id": "b", "file_name": "b00.jpg"}
"#;

const LAYOUT: &str = r#"{"version": 1, "subjects": [
{"subject": "a", "photo": 2, "x": 0.1, "y": 0.3, "width": 0.4, "z": 1},
{"subject": "b", "x": -0.2, "y": 0.5, "width": 0.5, "height": 0.25}]}"#;

fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

fn images() -> Vec<Vec<u8>> {
    let color: DynamicImage = RgbImage::from_fn(12, 9, |x, y| Rgb([20 * x as u8, 25 * y as u8, 90])).into();
    let clear: DynamicImage =
        RgbaImage::from_fn(7, 8, |x, y| Rgba([30 * x as u8, 200, 30 * y as u8, 36 * x as u8])).into();
    let deep = DynamicImage::from(color.to_rgb16());
    let plain =
        [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP].map(|format| encoded(color.clone(), format));
    let rare = [
        encoded(clear.clone(), ImageFormat::Png),
        encoded(clear, ImageFormat::WebP),
        encoded(deep, ImageFormat::Png),
        encoded(color.to_luma8(), ImageFormat::Jpeg),
    ];
    plain.into_iter().chain(rare).collect()
}

fn masks() -> Vec<Vec<u8>> {
    let disc = GrayImage::from_fn(16, 12, |x, y| {
        let (x, y) = (x as i32 - 9, y as i32 - 5);
        Luma([if x * x + y * y < 16 { 255 } else { 0 }])
    });
    let disc = DynamicImage::from(disc);
    let clear = DynamicImage::from(disc.to_rgba8());
    vec![
        encoded(disc.clone(), ImageFormat::Png),
        encoded(clear, ImageFormat::Png),
        encoded(disc, ImageFormat::Jpeg),
    ]
}

/// A denoiser whose transformers differ from layer to layer, without a middle block.
const DISTILLED: &str = r#"{"in_channels": 4, "out_channels": 4, "block_out_channels": [8, 16], "layers_per_block": [1, 2],
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"], "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"],
    "attention_head_dim": 2, "norm_num_groups": 4, "cross_attention_dim": 8, "transformer_layers_per_block": [1, [2, 1]],
    "reverse_transformer_layers_per_block": [[1, 2, 3], 1], "mid_block_type": null}"#;

fn configs() -> Vec<Vec<u8>> {
    ["unet/config.json", "vae/config.json", "text_encoder/config.json", "scheduler/scheduler_config.json"]
        .iter()
        .flat_map(|file| ["sdxl-tiny", "sd15-tiny"].map(|base| fixtures::text(&format!("{base}/{file}"))))
        .chain([DISTILLED.to_owned()])
        .map(String::into_bytes)
        .collect()
}

fn weights() -> Vec<Vec<u8>> {
    let tensor =
        |shape: &[usize], dtype: DType| Tensor::ones(shape, dtype, &Device::Cpu).expect("a tensor in memory");
    let file = |tensors: Vec<(&str, Tensor)>| {
        let tensors: NamedTensors =
            tensors.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        to_safetensors(&tensors, None).expect("a file in memory")
    };
    const PATH: &str = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q";
    let kohya = format!("lora_unet_{}", PATH.replace('.', "_"));
    let peft = format!("unet.{PATH}");
    vec![
        file(vec![]),
        file(vec![
            ("a", tensor(&[2, 3], DType::F32)),
            ("b", tensor(&[], DType::F16)),
            ("c", tensor(&[1, 0, 4], DType::BF16)),
            ("d", tensor(&[5], DType::I64)),
        ]),
        file(vec![
            (&format!("{peft}.lora_A.weight"), tensor(&[1, 64], DType::F32)),
            (&format!("{peft}.lora_B.weight"), tensor(&[64, 1], DType::F32)),
        ]),
        file(vec![
            (&format!("{kohya}.lora_down.weight"), tensor(&[1, 64], DType::F16)),
            (&format!("{kohya}.lora_up.weight"), tensor(&[64, 1], DType::F16)),
            (&format!("{kohya}.alpha"), tensor(&[], DType::F32)),
        ]),
    ]
}

/// The smallest file that passes for a checkpoint: the shapes that detection looks at, of values that take no room.
fn checkpoint() -> Vec<u8> {
    const SHAPES: [(&str, &[usize]); 18] = [
        ("model.diffusion_model.input_blocks.0.0.weight", &[4, 4, 3, 3]),
        ("model.diffusion_model.input_blocks.1.0.in_layers.2.weight", &[4, 4, 3, 3]),
        ("model.diffusion_model.middle_block.1.transformer_blocks.0.attn1.to_q.weight", &[4, 4]),
        ("model.diffusion_model.middle_block.1.transformer_blocks.0.attn2.to_k.weight", &[4, 8]),
        ("model.diffusion_model.middle_block.1.proj_in.weight", &[4, 4]),
        ("model.diffusion_model.out.2.weight", &[4, 4, 3, 3]),
        ("first_stage_model.encoder.conv_in.weight", &[4, 3, 3, 3]),
        ("first_stage_model.encoder.down.0.block.0.conv1.weight", &[4, 4, 3, 3]),
        ("first_stage_model.decoder.conv_in.weight", &[4, 4, 3, 3]),
        ("first_stage_model.decoder.conv_out.weight", &[3, 4, 3, 3]),
        ("cond_stage_model.transformer.text_model.embeddings.token_embedding.weight", &[49_408, 1]),
        ("cond_stage_model.transformer.text_model.embeddings.position_embedding.weight", &[77, 1]),
        ("cond_stage_model.transformer.text_model.encoder.layers.0.mlp.fc1.weight", &[4, 1]),
        ("model.diffusion_model.time_embed.0.weight", &[16, 4]),
        ("model.diffusion_model.time_embed.0.bias", &[16]),
        ("first_stage_model.quant_conv.weight", &[8, 8, 1, 1]),
        ("first_stage_model.post_quant_conv.weight", &[4, 4, 1, 1]),
        ("cond_stage_model.logit_scale", &[]),
    ];
    let tensors: NamedTensors = SHAPES
        .iter()
        .map(|(name, shape)| {
            let value = Tensor::ones(*shape, DType::U8, &Device::Cpu).expect("a tensor in memory");
            ((*name).to_owned(), value)
        })
        .collect();
    to_safetensors(&tensors, None).expect("a file in memory")
}

fn tokenizers() -> Vec<Vec<u8>> {
    let file = |name: &str| fixtures::text(&format!("sdxl-tiny/tokenizer_2/{name}"));
    let (vocab, merges) =
        Tokenizer::train(["a red bear".to_owned(), "a blue cat".to_owned()], 520).expect("a vocabulary");
    let model = serde_json::json!({
        "type": "BPE", "end_of_word_suffix": "</w>",
        "vocab": serde_json::from_str::<serde_json::Value>(&vocab).expect("a vocabulary"),
        "merges": merges.lines().skip(1).collect::<Vec<_>>(),
    });
    let whole = serde_json::json!({ "model": model, "added_tokens": [{ "id": 600, "content": "<olis>" }] });
    let parts = [
        [whole.to_string(), String::new(), String::new(), String::new(), "a red <olis> cat".to_owned()],
        [vocab, merges, String::new(), String::new(), "a red <olis>\0{\"<olis>\": 600}".to_owned()],
        [
            file("vocab.json"),
            file("merges.txt"),
            file("tokenizer_config.json"),
            file("special_tokens_map.json"),
            "A photo of olis, hta.".to_owned(),
        ],
    ];
    parts.map(|parts| parts.join(&SEPARATOR.to_string()).into_bytes()).into()
}
