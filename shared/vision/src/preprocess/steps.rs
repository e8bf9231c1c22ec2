//! Steps of a `preprocessor_config.json` that cannot be left out here, or changed.

use mudi_diffusion::{Error, Result};
use serde_json::Value;

use super::IMAGENET;

/// What bytes are multiplied by.
const RESCALE: f64 = 1.0 / 255.0;

/// Fails where a file leaves one of these `steps` out, or rescales bytes to other values than 0..=1.
pub(super) fn check(text: &str, steps: &[&str]) -> Result<()> {
    let file: Value = mudi_diffusion::parse(text)?;
    if let Some(step) = steps.iter().find(|step| file[**step] == Value::Bool(false)) {
        return Err(Error::Config(format!("`{step}` is false; images are not prepared without this step")));
    }
    match file["rescale_factor"].as_f64() {
        Some(factor) if (factor - RESCALE).abs() > 1e-6 => {
            Err(Error::Config(format!("`rescale_factor` is {factor}; only 1/255 is supported")))
        }
        _ => Ok(()),
    }
}

/// Fails where the `preprocessor_config.json` beside a SAM asks for other steps than [`crate::sam::Fit`] takes for a square of `side` pixels.
///
/// # Errors
/// Text that is no such file; a step that is not supported, by its name.
pub fn check_sam(text: &str, side: usize) -> Result<()> {
    check(text, &["do_resize", "do_rescale", "do_normalize", "do_pad"])?;
    let file: Value = mudi_diffusion::parse(text)?;
    let close = |field: &str, own: [f32; 3]| match file[field].as_array() {
        Some(values) => {
            values.len() == own.len()
                && values.iter().zip(own).all(|(value, own)| {
                    value.as_f64().is_some_and(|value| (value - f64::from(own)).abs() < 1e-3)
                })
        }
        None => true,
    };
    let is = |value: &Value, wanted: usize| value.is_null() || value.as_u64() == Some(wanted as u64);
    let size = &file["size"];
    let pad = &file["pad_size"];
    let steps = [
        ("image_mean", close("image_mean", IMAGENET.mean)),
        ("image_std", close("image_std", IMAGENET.deviation)),
        ("resample", is(&file["resample"], 2)),
        ("size", is(&size["longest_edge"], side)),
        ("pad_size", is(&pad["height"], side) && is(&pad["width"], side)),
    ];
    match steps.iter().find(|(_, same)| !same) {
        None => Ok(()),
        Some((field, _)) => Err(Error::Config(format!(
            "`{field}` is {}, which is not how a SAM for squares of {side} pixels reads photos; take the file that belongs to the weights",
            file[*field]
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sam_reads_photos_in_one_way() {
        // As published beside SAM's weights, and what leaves everything to it.
        let published = r#"{"do_convert_rgb": true, "do_normalize": true, "do_pad": true, "do_rescale": true, "do_resize": true,
            "image_mean": [0.485, 0.456, 0.406], "image_processor_type": "SamImageProcessor",
            "image_std": [0.229, 0.224, 0.225], "pad_size": {"height": 1024, "width": 1024}, "resample": 2,
            "rescale_factor": 0.00392156862745098, "size": {"longest_edge": 1024}}"#;
        for text in [published, "{}"] {
            assert!(check_sam(text, 1024).is_ok(), "{text}");
        }
        assert!(check_sam(published, 512).is_err());
        for (field, value) in [
            ("do_normalize", "false"),
            ("do_pad", "false"),
            ("rescale_factor", "1.0"),
            ("image_mean", "[0.5, 0.5, 0.5]"),
            ("image_std", "[0.5]"),
            ("resample", "3"),
            ("size", r#"{"longest_edge": 512}"#),
            ("pad_size", r#"{"height": 1024, "width": 512}"#),
        ] {
            let error = check_sam(&format!(r#"{{"{field}": {value}}}"#), 1024).unwrap_err().to_string();
            assert!(error.contains(field), "{field}: {error}");
        }
        assert!(check_sam("[", 1024).is_err());
    }
}
