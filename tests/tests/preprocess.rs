//! Images as networks take them, against Pillow and transformers' processors.
#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use image::RgbImage;
use mudi_tests::golden::{tensors, values};
use mudi_vision::preprocess::{
    CLIP, Edge, Filter, IMAGENET, OwlProcessor, Pixels, Processor, Size, resize_image,
};

fn image(name: &str) -> RgbImage {
    let golden = &tensors("vision/preprocess.safetensors")[name];
    let bytes = values(golden).iter().map(|&value| value as u8).collect();
    RgbImage::from_raw(golden.dims()[1] as u32, golden.dims()[0] as u32, bytes).unwrap()
}

/// The largest difference in steps of 8 bits, of values that were divided by `deviation`.
fn steps(found: &Pixels, name: &str, deviation: [f32; 3]) -> f32 {
    let golden = &tensors("vision/preprocess.safetensors")[name];
    assert_eq!(golden.dims(), [found.height, found.width, 3], "{name}");
    let difference = |(i, (a, b)): (usize, (&f32, f32))| (a - b).abs() * deviation[i % 3] * 255.0;
    found.values.iter().zip(values(golden)).enumerate().map(difference).fold(0.0, f32::max)
}

#[test]
fn resized_images_are_pillows_to_the_bit() {
    for name in ["wide", "tall"] {
        let image = image(name);
        for (kind, filter) in [("bilinear", Filter::Bilinear), ("bicubic", Filter::Bicubic)] {
            for (width, height) in [(16, 24), (80, 13), (30, 100)] {
                let name = format!("out.{name}.{kind}.{width}x{height}");
                let expected = values(&tensors("vision/preprocess.safetensors")[&name]);
                let found = resize_image(&image, width, height, filter);
                let found: Vec<f32> = found.as_raw().iter().map(|&value| f32::from(value)).collect();
                // Without the values, of which there are thousands.
                assert!(found == expected, "{name}");
            }
        }
    }
}

#[test]
fn processors_are_transformers_to_a_step_of_eight_bits() {
    let small = |edge, crop, normalization| Processor {
        size: Some(Size::Shortest(Edge::Plain(edge))),
        crop: Some([crop; 2]),
        normalization: Some(normalization),
        ..Processor::dinov2()
    };
    let processors = [("dinov2", small(40, 32, IMAGENET), IMAGENET), ("clip", small(32, 32, CLIP), CLIP)];
    for name in ["wide", "tall"] {
        for (kind, processor, normalization) in &processors {
            let found = processor.apply(&image(name)).unwrap();
            let most = steps(&found, &format!("out.{name}.{kind}"), normalization.deviation);
            println!("{name}, {kind}: at most {most:.3} steps");
            assert!(most < 1.01, "{name} {kind}: {most}");
        }
        for (kind, side) in [("owlv2_smaller", 24), ("owlv2_larger", 92)] {
            let found = OwlProcessor::new(side).apply(&image(name)).unwrap();
            let most = steps(&found, &format!("out.{name}.{kind}"), CLIP.deviation);
            println!("{name}, {kind}: at most {most:.5} steps");
            assert!(most < 0.05, "{name} {kind}: {most}");
        }
    }
}
