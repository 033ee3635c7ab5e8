//! The run as a picture.

use std::error::Error;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::client::Process;
use crate::figures::Figures;
use crate::growth;
use crate::logins::{Given, Subject, row};
use crate::run::Run;

const SIZE: (u32, u32) = (1_200, 860);

/// What is drawn above the panels, and the panels of logins.
const TITLE: u32 = 56;
const LOGINS: u32 = 400;

/// Colours of one background.
pub struct Palette {
    background: RGBColor,
    text: RGBColor,
    lines: RGBColor,
    peer: RGBColor,
    ours: RGBColor,
    floor: RGBColor,
}

pub const LIGHT: Palette = Palette {
    background: RGBColor(255, 255, 255),
    text: RGBColor(31, 35, 40),
    lines: RGBColor(209, 217, 224),
    peer: RGBColor(188, 76, 0),
    ours: RGBColor(9, 105, 218),
    floor: RGBColor(89, 99, 110),
};

pub const DARK: Palette = Palette {
    background: RGBColor(13, 17, 23),
    text: RGBColor(240, 246, 252),
    lines: RGBColor(61, 68, 77),
    peer: RGBColor(240, 136, 62),
    ours: RGBColor(88, 166, 255),
    floor: RGBColor(145, 152, 161),
};

impl Palette {
    fn of(&self, subject: &str) -> RGBColor {
        match subject {
            "pam_permit" | "floor" => self.floor,
            ours if ours.starts_with("pam_mfa") => self.ours,
            _ => self.peer,
        }
    }

    fn font(&self, size: u32) -> TextStyle<'static> {
        ("sans-serif", size).into_font().color(&self.text)
    }
}

/// The SVG.
pub fn svg(run: &Run, palette: &Palette) -> Result<String, Box<dyn Error>> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        root.fill(&palette.background)?;
        let (title, rest) = root.split_vertically(TITLE);
        let quick = if run.size.quick { " (a quick run)" } else { "" };
        let text = format!("What a login costs: median and 95th percentile{quick}");
        title.draw(&Text::new(text, (20, 12), palette.font(22)))?;
        let machine: Vec<&str> =
            run.machine.iter().take(3).map(|(_, value)| value.as_str()).collect();
        let machine = format!("{}, {}, {} cores", machine[0], machine[1], machine[2]);
        title.draw(&Text::new(machine, (20, 38), palette.font(14)))?;
        let (logins, growth) = rest.split_vertically(LOGINS);
        for (panel, given) in logins.split_evenly((1, 3)).iter().zip(Given::ALL) {
            draw_logins(panel, &run.figures, given, palette)?;
        }
        draw_growth(&growth, run, palette)?;
        root.present()?;
    }
    Ok(svg)
}

type Panel<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

/// A line for each subject: a full circle in process, a ring for a fresh process, and from each to its
/// 95th percentile.
fn draw_logins(
    panel: &Panel,
    figures: &Figures,
    given: Given,
    palette: &Palette,
) -> Result<(), Box<dyn Error>> {
    let there =
        |subject: &Subject| figures.series(&row(*subject, given, Process::Lasting)).is_some();
    let subjects: Vec<Subject> = Subject::ALL.into_iter().filter(there).collect();
    let bottom = -f64::from(u8::try_from(subjects.len())?);
    let mut chart = ChartBuilder::on(panel)
        .margin(10)
        .margin_right(24)
        .caption(given.name(), palette.font(17))
        .x_label_area_size(44)
        .build_cartesian_2d((0.05f64..200.0).log_scale(), bottom..0.4)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .disable_y_axis()
        .axis_style(palette.lines)
        .bold_line_style(palette.lines)
        .light_line_style(palette.background)
        .x_labels(6)
        .x_label_formatter(&|value| plain(*value))
        .x_desc("milliseconds  (● in process, ○ fresh process)")
        .label_style(palette.font(13))
        .draw()?;
    let name_style = palette.font(13).pos(Pos::new(HPos::Left, VPos::Bottom));
    for (line, subject) in (0u8..).zip(subjects) {
        let y = -f64::from(line) - 0.55;
        let colour = palette.of(subject.name());
        let name = Text::new(subject.name(), (0.055, y + 0.2), name_style.clone());
        chart.plotting_area().draw(&name)?;
        for process in Process::ALL {
            let Some(series) = figures.series(&row(subject, given, process)) else { continue };
            let (median, p95) = (series.median() / 1_000.0, series.p95() / 1_000.0);
            let whisker = PathElement::new(vec![(median, y), (p95, y)], colour.stroke_width(2));
            chart.plotting_area().draw(&whisker)?;
            let style = match process {
                Process::Lasting => colour.filled(),
                Process::Fresh => colour.stroke_width(2),
            };
            if process == Process::Fresh {
                let hole = Circle::new((median, y), 5, palette.background.filled());
                chart.plotting_area().draw(&hole)?;
            }
            chart.plotting_area().draw(&Circle::new((median, y), 5, style))?;
        }
    }
    Ok(())
}

fn draw_growth(panel: &Panel, run: &Run, palette: &Palette) -> Result<(), Box<dyn Error>> {
    let sizes = run.size.enrolled;
    let (least, most) = (f64::from(sizes[0]), f64::from(sizes[sizes.len() - 1]));
    let mut chart = ChartBuilder::on(panel)
        .margin(10)
        .margin_right(220)
        .caption("right code, in process, by the number of users enrolled", palette.font(17))
        .x_label_area_size(44)
        .y_label_area_size(64)
        .build_cartesian_2d((least..most).log_scale(), (0.1f64..100.0).log_scale())?;
    chart
        .configure_mesh()
        .axis_style(palette.lines)
        .bold_line_style(palette.lines)
        .light_line_style(palette.background)
        .x_labels(6)
        .x_label_formatter(&|value| plain(*value))
        .y_label_formatter(&|value| plain(*value))
        .x_desc("users enrolled")
        .y_desc("milliseconds")
        .label_style(palette.font(13))
        .draw()?;
    for subject in growth::SUBJECTS {
        let point = |size: &u32| {
            (f64::from(*size), run.figures.median(&growth::row(subject, *size)) / 1_000.0)
        };
        let points: Vec<(f64, f64)> = sizes.iter().map(point).collect();
        let Some(&end) = points.last() else { continue };
        let colour = palette.of(subject);
        chart.draw_series(LineSeries::new(points.clone(), colour.stroke_width(2)))?;
        for point in points {
            chart.plotting_area().draw(&Circle::new(point, 4, colour.filled()))?;
        }
        let style = palette.font(13).pos(Pos::new(HPos::Left, VPos::Center));
        let label = EmptyElement::at(end) + Text::new(subject, (10, 0), style);
        chart.plotting_area().draw(&label)?;
    }
    Ok(())
}

/// A number on an axis.
fn plain(value: f64) -> String {
    if value < 1.0 { format!("{value:.1}") } else { format!("{value:.0}") }
}
