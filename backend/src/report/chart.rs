//! The curve of the losses as an SVG picture.

/// The picture's size, in its own units.
const SIZE: [f64; 2] = [560.0, 230.0];
/// The room around the curve: left, top, right, bottom.
const ROOM: [f64; 4] = [58.0, 12.0, 14.0, 44.0];
/// A line has at most this many points.
const MAX_POINTS: usize = 400;

/// A step, counted from 1, and its loss.
type Point = (f64, f64);

/// Draws the loss of each step: a smoothed line over the faint raw one, the axes labelled.
///
/// Values that are not finite are left out and counted below the curve. Rare spikes are cut off at the top, so that
/// the rest stays readable. The colors come from the CSS classes `raw`, `smooth`, `grid` and `label`.
#[must_use]
pub fn loss_chart(losses: &[f32]) -> String {
    let points: Vec<Point> = losses
        .iter()
        .zip(1_u32..)
        .filter(|(loss, _)| loss.is_finite())
        .map(|(&loss, step)| (f64::from(step), f64::from(loss)))
        .collect();
    let left_out = losses.len() - points.len();
    let (Some(&first), Some(&last)) = (points.first(), points.last()) else {
        let words = if left_out == 0 { "No losses were recorded." } else { "None of the losses is finite." };
        return frame(words, &text(SIZE[0] / 2.0, SIZE[1] / 2.0, "middle", words));
    };

    let smoothed = smooth(&points);
    let axes = Axes::of(&points, losses.len());
    let mut body = axes.draw();
    if points.len() == 1 {
        let (x, y) = axes.place(first);
        body += &format!("<circle class=\"dot\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\"/>");
    } else {
        body += &axes.line("raw", &extremes(&points));
        body += &axes.line("smooth", &thinned(&smoothed));
    }
    let mut notes = Vec::new();
    if left_out > 0 {
        notes.push(format!("{left_out} not finite, left out"));
    }
    if axes.cuts {
        notes.push("spikes cut off at the top".to_owned());
    }
    body += &text(SIZE[0] - ROOM[2], SIZE[1] - 6.0, "end", &notes.join("; "));
    let ends = [smoothed.first().unwrap_or(&first).1, smoothed.last().unwrap_or(&last).1].map(number);
    let label =
        format!("Loss over {} training steps, smoothed: from {} to {}", losses.len(), ends[0], ends[1]);
    frame(&label, &body)
}

/// The whole picture.
fn frame(label: &str, body: &str) -> String {
    let [width, height] = SIZE;
    format!(
        "<svg class=\"chart\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{label}\">{body}</svg>"
    )
}

fn text(x: f64, y: f64, anchor: &str, words: &str) -> String {
    format!("<text class=\"label\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{words}</text>")
}

/// What the axes span.
struct Axes {
    steps: f64,
    low: f64,
    high: f64,
    /// Whether some points are above `high`.
    cuts: bool,
}

impl Axes {
    /// From zero to the largest loss, or to twice what all but the highest fiftieth stay below.
    fn of(points: &[Point], steps: usize) -> Self {
        let mut sorted: Vec<f64> = points.iter().map(|point| point.1).collect();
        sorted.sort_by(f64::total_cmp);
        let at = |index: usize| sorted.get(index).copied().unwrap_or(0.0);
        let (lowest, highest) = (at(0), at(sorted.len() - 1));
        let usual = at((sorted.len() - 1) * 49 / 50);
        let cuts = usual > 0.0 && highest > 2.0 * usual;
        let low = lowest.min(0.0);
        let high = if cuts { 2.0 * usual } else { highest.max(0.0) };
        Self { steps: steps as f64, low, high: if high > low { high } else { 1.0 }, cuts }
    }

    /// Where a point lies in the picture.
    fn place(&self, (step, loss): Point) -> Point {
        let [left, top, right, bottom] = ROOM;
        let along = if self.steps > 1.0 { (step - 1.0) / (self.steps - 1.0) } else { 0.5 };
        let up = (loss.clamp(self.low, self.high) - self.low) / (self.high - self.low);
        (left + along * (SIZE[0] - left - right), SIZE[1] - bottom - up * (SIZE[1] - top - bottom))
    }

    fn line(&self, class: &str, points: &[Point]) -> String {
        let placed: Vec<String> =
            points.iter().map(|&point| self.place(point)).map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        format!("<polyline class=\"{class}\" points=\"{}\"/>", placed.join(" "))
    }

    /// Grid lines, their numbers and what the axes are.
    fn draw(&self) -> String {
        let [left, _, right, bottom] = ROOM;
        let [width, height] = SIZE;
        let mut drawn = String::new();
        for loss in ticks(self.low, self.high, 4.0) {
            let (_, y) = self.place((1.0, loss));
            drawn += &format!("<path class=\"grid\" d=\"M{left} {y:.1}H{}\"/>", width - right);
            drawn += &text(left - 8.0, y + 4.0, "end", &number(loss));
        }
        let mut steps = vec![1.0];
        steps.extend(
            ticks(1.0, self.steps, 5.0).into_iter().filter(|step| *step > 1.0 && step.fract() == 0.0),
        );
        // The first tick gives way to one that is too close to it.
        if steps.get(1).is_some_and(|second| (second - 1.0) / (self.steps - 1.0).max(1.0) < 0.06) {
            steps.remove(0);
        }
        for step in steps {
            let (x, _) = self.place((step, self.low));
            drawn += &text(x, height - bottom + 18.0, "middle", &format!("{step:.0}"));
        }
        let middle = (height - bottom) / 2.0;
        drawn += &text(left + (width - left - right) / 2.0, height - 6.0, "middle", "training step");
        drawn += &format!(
            "<text class=\"label\" transform=\"translate(14 {middle}) rotate(-90)\" text-anchor=\"middle\">loss</text>"
        );
        drawn
    }
}

/// About `wanted` round numbers from `low` to `high`.
fn ticks(low: f64, high: f64, wanted: f64) -> Vec<f64> {
    let rough = (high - low) / wanted;
    if !rough.is_finite() || rough <= 0.0 {
        return Vec::new();
    }
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|step| *step >= rough);
    let step = step.unwrap_or(10.0 * power);
    let first = (low / step).ceil();
    (0..12)
        .map(|index| (first + f64::from(index)) * step)
        .take_while(|tick| *tick <= high + step * 1e-6)
        .collect()
}

/// A number with about three digits.
fn number(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 {
        "0".to_owned()
    } else if !(0.001..100_000.0).contains(&size) {
        format!("{value:.1e}")
    } else {
        let digits = (2.0 - size.log10().floor()).clamp(0.0, 5.0) as usize;
        let text = format!("{value:.digits$}");
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
    }
}

/// A running mean that forgets over about a twentieth of the points. It begins where it has seen a few of them, as
/// the first alone says little.
fn smooth(points: &[Point]) -> Vec<Point> {
    let window = (points.len() as f64 / 20.0).max(4.0);
    let keep = 1.0 - 1.0 / window;
    let (mut sum, mut weight) = (0.0, 0.0);
    points
        .iter()
        .map(|&(step, loss)| {
            sum = keep * sum + loss;
            weight = keep * weight + 1.0;
            (step, sum / weight)
        })
        .skip(if points.len() > 20 { (window / 2.0) as usize } else { 0 })
        .collect()
}

/// At most [`MAX_POINTS`] of the points, the first and the last among them.
fn thinned(points: &[Point]) -> Vec<Point> {
    let count = points.len().min(MAX_POINTS);
    (0..count).map(|index| points[index * (points.len() - 1) / (count - 1).max(1)]).collect()
}

/// At most [`MAX_POINTS`] points: the lowest and the highest of each stretch, in their order.
fn extremes(points: &[Point]) -> Vec<Point> {
    if points.len() <= MAX_POINTS {
        return points.to_vec();
    }
    let stretch = points.len().div_ceil(MAX_POINTS / 2);
    let mut kept = Vec::with_capacity(MAX_POINTS);
    for part in points.chunks(stretch) {
        let by_loss = |a: &&Point, b: &&Point| a.1.total_cmp(&b.1);
        let ends = [part.iter().min_by(by_loss), part.iter().max_by(by_loss)];
        let mut ends: Vec<Point> = ends.into_iter().flatten().copied().collect();
        ends.sort_by(|a, b| a.0.total_cmp(&b.0));
        kept.extend(ends);
    }
    kept
}
