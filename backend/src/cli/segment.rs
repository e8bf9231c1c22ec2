//! `mudi segment`.

use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Instant;

use image::{ImageFormat, RgbImage};
use mudi::dataset::decode::Decoded;
use mudi::dataset::read_image;
use mudi::files::{check_file, create_folder, is_same, write_atomically};
use mudi::pretrain::miniature::Miniature;
use mudi::segment::{AutoSegmenter, Networks, Segmenter, THRESHOLD, check_inside};
use mudi_domain::grabcut::{Hints, Stroke, cut_out};
use mudi_domain::mask::Mask;
use mudi_vision::sam::{Point, Prompt};

use super::{Failure, model_path, print};

/// Cut a subject out of a photo: the mask of what a class names (found by OWLv2, cut out by Segment Anything), of what points
/// or a box point at (by Segment Anything), or without any weights by the colours that strokes and a box say are the
/// subject's or not.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Folder with the weights of a SAM: transformers' `config.json` and `model.safetensors`, or the file that the authors
    /// publish (sam_vit_b_01ec64.pth and its like, or mobile_sam.pt); `sam-toybox` is the small one that ships, for the
    /// toybox's toys, and with --class the default. Without it --class, --box, --point or --stroke is needed.
    #[arg(long)]
    base: Option<PathBuf>,
    /// What the photo shows, such as `teddy bear`: the only subject of that class is cut out. Where there are none or several
    /// the command says what it found, and fails.
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["points", "others", "bounds", "strokes", "other_strokes"])]
    class: Option<String>,
    /// With --class: folder with OWLv2 [default: the one that ships, which knows the toybox's toys only].
    #[arg(long, value_name = "DIR")]
    detector: Option<PathBuf>,
    #[arg(long, value_parser = share, help = format!("With --class: the score that a detection must exceed, 0 to 1 [default: {THRESHOLD}]"))]
    threshold: Option<f32>,
    /// The photo: JPEG, PNG or WebP.
    #[arg(long)]
    image: PathBuf,
    /// PNG file to write: white on the subject, black elsewhere, of the photo's size.
    #[arg(long)]
    out: PathBuf,
    /// A place on the subject, in pixels from the photo's left and top; may be given several times.
    #[arg(long = "point", value_name = "X,Y", allow_hyphen_values = true)]
    points: Vec<Numbers<2>>,
    /// A place that is not on the subject; may be given several times.
    #[arg(long = "not", value_name = "X,Y", allow_hyphen_values = true)]
    others: Vec<Numbers<2>>,
    /// A box around the subject, in pixels: left, top, width, height.
    #[arg(long = "box", value_name = "X,Y,WIDTH,HEIGHT", allow_hyphen_values = true)]
    bounds: Option<Numbers<4>>,
    /// A line on the subject: the places that it goes through; may be given several times. Not with --base.
    #[arg(long = "stroke", value_name = "X,Y,X,Y..", allow_hyphen_values = true)]
    strokes: Vec<Line>,
    /// A line that is not on the subject; may be given several times. Not with --base.
    #[arg(long = "not-stroke", value_name = "X,Y,X,Y..", allow_hyphen_values = true)]
    other_strokes: Vec<Line>,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

/// A share from 0 to 1.
fn share(text: &str) -> Result<f32, String> {
    let number = text.parse::<f32>().ok().filter(|number| (0.0..=1.0).contains(number));
    number.ok_or_else(|| "expected a number from 0 to 1".to_owned())
}

/// Numbers with commas between them.
fn numbers(text: &str) -> Option<Vec<f32>> {
    text.split(',').map(|number| number.trim().parse::<f32>().ok().filter(|n| n.is_finite())).collect()
}

/// Places: pairs of numbers, with commas between all of them.
#[derive(Clone)]
struct Line(Vec<[f32; 2]>);

impl FromStr for Line {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = numbers(text).filter(|numbers| numbers.len() % 2 == 0);
        let numbers =
            numbers.ok_or("expected pairs of numbers with commas between them, such as 10,20,30,25")?;
        Ok(Self(numbers.as_chunks().0.to_vec()))
    }
}

/// As many numbers, with commas between them.
#[derive(Clone, Copy)]
struct Numbers<const N: usize>([f32; N]);

impl<const N: usize> FromStr for Numbers<N> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        numbers(text)
            .and_then(|numbers| <[f32; N]>::try_from(numbers).ok())
            .map(Self)
            .ok_or_else(|| format!("expected {N} numbers with commas between them"))
    }
}

impl Arguments {
    /// The corners of the box: left, top, right, bottom.
    fn bounds(&self) -> Result<Option<[f32; 4]>, Failure> {
        match self.bounds {
            Some(Numbers([_, _, width, height])) if width <= 0.0 || height <= 0.0 => {
                Err("--box: width and height have to be more than 0".into())
            }
            bounds => Ok(bounds.map(|Numbers([x, y, width, height])| [x, y, x + width, y + height])),
        }
    }

    /// What a network is asked for.
    fn prompt(&self) -> Result<Prompt, Failure> {
        let point = |&Numbers([x, y]): &Numbers<2>, on_subject| Point { x, y, on_subject };
        let mut points: Vec<Point> = self.points.iter().map(|place| point(place, true)).collect();
        points.extend(self.others.iter().map(|place| point(place, false)));
        let bounds = self.bounds()?;
        if !self.strokes.is_empty() || !self.other_strokes.is_empty() {
            return Err(
                "the network takes points and a box, no strokes; give --point, or leave --base out".into()
            );
        }
        if self.points.is_empty() && bounds.is_none() {
            return Err("nothing is pointed at; give --point or --box".into());
        }
        Ok(Prompt { points, bounds, mask: None })
    }

    /// What is known where there is no network.
    fn hints(&self) -> Result<Hints, Failure> {
        let stroke = |places: Vec<[f32; 2]>, on_subject| Stroke { places, on_subject };
        let lines = |lines: &[Line], points: &[Numbers<2>], on_subject| -> Vec<Stroke> {
            let lines = lines.iter().map(|line| stroke(line.0.clone(), on_subject));
            lines.chain(points.iter().map(|point| stroke(vec![point.0], on_subject))).collect()
        };
        let mut strokes = lines(&self.strokes, &self.points, true);
        let bounds = self.bounds()?;
        if strokes.is_empty() && bounds.is_none() {
            return Err(
                "nothing is pointed at; name the subject (--class), draw a box around it (--box) or a line on it (--stroke), or point at it (--point)"
                    .into(),
            );
        }
        strokes.extend(lines(&self.other_strokes, &self.others, false));
        Ok(Hints { bounds, strokes })
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    if !arguments.image.exists() {
        return Err(
            format!("{}: there is no such photo; name one with --image", arguments.image.display()).into()
        );
    }
    if is_same(&arguments.image, &arguments.out) {
        let out = arguments.out.display();
        return Err(
            format!("{out}: this is the photo itself; name another file for its mask as --out").into()
        );
    }
    check_file(&arguments.out)?;
    if arguments.class.is_none() && (arguments.detector.is_some() || arguments.threshold.is_some()) {
        return Err(
            "--detector and --threshold are for a --class; name the subject with it, or leave them out"
                .into(),
        );
    }
    let read = || read_image(&arguments.image).map(Decoded::rgb);
    let size = |photo: &RgbImage| [photo.height() as usize, photo.width() as usize];
    let start;
    let (mask, word) = match (&arguments.class, &arguments.base) {
        (Some(class), base) => {
            let photo = read()?;
            start = Instant::now();
            by_class(arguments, class, base.as_deref(), &photo)?
        }
        (None, Some(base)) => {
            let prompt = arguments.prompt()?;
            let photo = read()?;
            // Said before the weights are read.
            check_inside(prompt.points.iter().map(|point| [point.x, point.y]), prompt.bounds, size(&photo))?;
            start = Instant::now();
            by_network(&model_path(base)?, &photo, &prompt)?
        }
        (None, None) => {
            let hints = arguments.hints()?;
            let photo = read()?;
            let places = hints.strokes.iter().flat_map(|stroke| stroke.places.iter().copied());
            check_inside(places, hints.bounds, size(&photo))?;
            start = Instant::now();
            (cut_out(&photo, &hints, |_| {}), serde_json::Value::Null)
        }
    };
    let seconds = start.elapsed().as_secs_f64();
    if mask.is_empty() {
        let file = arguments.image.display();
        return Err(format!(
            "{file}: there is no subject where you point; point at its middle, or draw a box around it"
        )
        .into());
    }
    let mut png = Cursor::new(Vec::new());
    mask.as_gray().write_to(&mut png, ImageFormat::Png)?;
    if let Some(folder) = arguments.out.parent() {
        create_folder(folder)?;
    }
    write_atomically(&arguments.out, &png.into_inner())?;
    let area = mask.area_fraction();
    let out = arguments.out.display().to_string();
    let object = serde_json::json!({
        "out": out,
        "area": area,
        "box": mask.bounding_box(),
        "seconds": seconds,
        "network": word,
    });
    let text =
        format!("The mask in {out} covers {:.1} % of the photo; it took {seconds:.1} s.", 100.0 * area);
    print(arguments.json, &object, &text)
}

/// The mask of the only subject of a class, and what the networks say of it.
fn by_class(
    arguments: &Arguments,
    class: &str,
    base: Option<&Path>,
    photo: &RgbImage,
) -> Result<(Mask, serde_json::Value), Failure> {
    let detector = arguments.detector.as_deref().unwrap_or(Path::new(Miniature::Owlv2.folder()));
    let networks = Networks {
        detector: model_path(detector)?,
        segmenter: model_path(base.unwrap_or(Path::new(Miniature::Sam.folder())))?,
    };
    let segmenter = AutoSegmenter::load(&networks, arguments.threshold.unwrap_or(THRESHOLD))?;
    let start = Instant::now();
    let made = segmenter.mask(&arguments.image, photo, class)?;
    let word = serde_json::json!({
        "class": class,
        "found": made.found,
        "iou": made.iou,
        "stability": made.stability,
        "mask_seconds": start.elapsed().as_secs_f64(),
    });
    Ok((made.mask, word))
}

/// The best mask of a network, and what it says of it.
fn by_network(base: &Path, photo: &RgbImage, prompt: &Prompt) -> Result<(Mask, serde_json::Value), Failure> {
    let segmenter = Segmenter::load(base)?;
    let start = Instant::now();
    let embedded = segmenter.embed(photo)?;
    let embedding = start.elapsed().as_secs_f64();
    let start = Instant::now();
    // A single point may mean a part or the whole; then the network offers three masks, and the best of them is taken.
    let several = prompt.points.len() == 1 && prompt.bounds.is_none();
    let best = segmenter.masks(&embedded, prompt, several)?.into_iter().next();
    let best = best.ok_or("the network gave no mask")?;
    let word = serde_json::json!({
        "iou": best.iou,
        "stability": best.stability,
        "embedding_seconds": embedding,
        "mask_seconds": start.elapsed().as_secs_f64(),
    });
    Ok((best.mask, word))
}
