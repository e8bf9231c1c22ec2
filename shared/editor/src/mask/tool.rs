//! Tools and their settings.

use super::morphology::MAX_RADIUS;
use super::operation::Ink;

/// What a pointer does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Tool {
    /// Paints the subject.
    #[default]
    Brush,
    /// Takes away from it.
    Eraser,
    /// Takes what a line runs around.
    Lasso,
    /// Takes what has the colour of a place.
    Wand,
    /// A box around the subject, for the automatic mask.
    Frame,
    /// A place on the subject, for the automatic mask.
    Point,
    /// A line on the subject, for the automatic mask.
    Mark,
    /// Moves the photo.
    Hand,
}

impl Tool {
    /// All of them, in the order of the toolbar.
    pub const ALL: [Self; 8] = [
        Self::Brush,
        Self::Eraser,
        Self::Lasso,
        Self::Wand,
        Self::Frame,
        Self::Point,
        Self::Mark,
        Self::Hand,
    ];

    /// What it is called.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Brush => "Brush",
            Self::Eraser => "Eraser",
            Self::Lasso => "Lasso",
            Self::Wand => "Magic wand",
            Self::Frame => "Box",
            Self::Point => "Click",
            Self::Mark => "Mark",
            Self::Hand => "Hand",
        }
    }

    /// What it does, in a sentence.
    #[must_use]
    pub fn help(self) -> &'static str {
        match self {
            Self::Brush => "Paint the subject. Alt or the right button erases; Shift draws a straight line.",
            Self::Eraser => "Take away from the subject. Alt or the right button paints.",
            Self::Lasso => "Draw around a part to add it. Alt or the right button takes it away.",
            Self::Wand => "Add what has the colour under the pointer. Alt or the right button takes it away.",
            Self::Frame => "Draw a box around the subject; the automatic mask looks inside of it.",
            Self::Point => {
                "Click on the subject, with Alt or the right button beside it; the automatic mask follows."
            }
            Self::Mark => {
                "Draw lines on the subject, with Alt or the right button beside it; the automatic mask follows."
            }
            Self::Hand => "Move the photo. The space bar does so with every tool.",
        }
    }

    /// What it does when it is turned round, for whoever has neither Alt nor a right button; none where another tool does that.
    #[must_use]
    pub fn turned(self) -> Option<&'static str> {
        match self {
            Self::Lasso | Self::Wand => Some("Take away"),
            Self::Point | Self::Mark => Some("Beside the subject"),
            Self::Brush | Self::Eraser | Self::Frame | Self::Hand => None,
        }
    }
}

/// A setting that changes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ToolChange {
    /// The tool's diameter, in pixels of the photo.
    Size(f32),
    /// So many times as large.
    SizeBy(f32),
    /// The share of the brush that covers wholly, 0 to 1.
    Hardness(f32),
    /// So much more of it.
    HardnessBy(f32),
    /// Whether a pen's pressure makes the brush larger.
    Pressure(bool),
    /// How far a colour may be from that of the wand's place, in each channel, 0 to 255.
    Tolerance(u8),
    /// Whether the wand takes only what hangs together with its place.
    Contiguous(bool),
    /// By how many pixels of the photo the mask grows, shrinks or is feathered.
    Radius(u32),
    /// The tool is turned round, where it can be, or back.
    Turn,
}

/// All settings. Brush and eraser each have their size.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tools {
    /// The tool in hand.
    pub tool: Tool,
    /// The brush's diameter, in pixels of the photo.
    pub brush: f32,
    /// The eraser's.
    pub eraser: f32,
    /// The largest diameter that makes sense for this photo.
    pub largest: f32,
    /// The share of the brush that covers wholly, 0 to 1.
    pub hardness: f32,
    /// Whether a pen's pressure makes the brush larger.
    pub pressure: bool,
    /// How far a colour may be from that of the wand's place, in each channel.
    pub tolerance: u8,
    /// Whether the wand takes only what hangs together with its place.
    pub contiguous: bool,
    /// By how many pixels the mask grows, shrinks or is feathered.
    pub radius: u32,
    /// Whether the tool is turned round: it does the opposite, and with Alt what it does else.
    pub turned: bool,
}

impl Tools {
    /// Settings that suit a photo of that size.
    #[must_use]
    pub fn for_photo(width: u32, height: u32) -> Self {
        let side = width.max(height).max(1) as f32;
        let size = (side / 40.0).round().max(4.0);
        Self {
            tool: Tool::default(),
            brush: size,
            eraser: size,
            largest: (side / 2.0).max(8.0),
            hardness: 0.9,
            pressure: true,
            tolerance: 24,
            contiguous: true,
            radius: ((side / 500.0).round() as u32).clamp(1, MAX_RADIUS),
            turned: false,
        }
    }

    /// Takes up a tool, as it is meant: one that was turned round is forgotten with the next one.
    pub(super) fn take_up(&mut self, tool: Tool) {
        (self.tool, self.turned) = (tool, false);
    }

    /// Changes a setting; what is out of range is brought into it.
    pub fn change(&mut self, change: ToolChange) {
        let largest = self.largest;
        let size = if self.tool == Tool::Eraser { &mut self.eraser } else { &mut self.brush };
        match change {
            ToolChange::Size(value) if value.is_finite() => *size = value.clamp(1.0, largest),
            ToolChange::SizeBy(factor) if factor.is_finite() => {
                // At least a pixel, or small brushes would never change.
                let step = if factor > 1.0 { 1.0 } else { -1.0 };
                let wanted = *size * factor;
                let wanted = if (wanted - *size).abs() < 1.0 { *size + step } else { wanted };
                *size = wanted.round().clamp(1.0, largest);
            }
            ToolChange::Hardness(value) if value.is_finite() => self.hardness = value.clamp(0.0, 1.0),
            ToolChange::HardnessBy(more) => {
                // In tenths, so that many small steps end where they should.
                let wanted = ((self.hardness + more) * 10.0).round() / 10.0;
                self.change(ToolChange::Hardness(wanted));
            }
            ToolChange::Size(_) | ToolChange::SizeBy(_) | ToolChange::Hardness(_) => {}
            ToolChange::Pressure(value) => self.pressure = value,
            ToolChange::Tolerance(value) => self.tolerance = value,
            ToolChange::Contiguous(value) => self.contiguous = value,
            ToolChange::Radius(value) => self.radius = value.clamp(1, MAX_RADIUS),
            ToolChange::Turn => self.turned = !self.turned && self.tool.turned().is_some(),
        }
    }

    /// The diameter of the tool in hand, in pixels of the photo; none where it has none.
    #[must_use]
    pub fn size(&self) -> Option<f32> {
        match self.tool {
            Tool::Brush => Some(self.brush),
            Tool::Eraser => Some(self.eraser),
            _ => None,
        }
    }

    /// Whether the tool in hand does the opposite, where a key or a button says so or not.
    #[must_use]
    pub(super) fn is_opposite(&self, held: bool) -> bool {
        self.turned != held
    }

    /// What the tool in hand does to coverages, `opposite` or not.
    #[must_use]
    pub(super) fn ink(&self, opposite: bool) -> Ink {
        let ink = if self.tool == Tool::Eraser { Ink::Remove } else { Ink::Add };
        if opposite { ink.opposite() } else { ink }
    }
}
