//! The ratios as bars, for the README.

use crate::case::CASES;
use crate::report::Row;
use plotters::prelude::*;
use std::path::Path;

const SIZE: (u32, u32) = (760, 420);
const COLOURS: [RGBColor; 3] = [RGBColor(31, 119, 180), RGBColor(160, 160, 160), RGBColor(214, 150, 60)];

/// Writes `target/bench/<name>`: for each case the ratio to the floor, on a logarithmic axis.
pub(crate) fn write(name: &str, title: &str, rows: &[Row]) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bench");
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join(name);
    draw(&path, title, rows).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    println!("\nPlot: target/bench/{name}");
}

fn draw(path: &Path, title: &str, rows: &[Row]) -> Result<(), Box<dyn std::error::Error>> {
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(format!("holds compared with the store's floor: {title}"), ("sans-serif", 14))
        .margin(10)
        .x_label_area_size(8)
        .y_label_area_size(46)
        .build_cartesian_2d(0.0..places(CASES.len()), (0.01..200.0).log_scale())?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .disable_x_axis()
        .y_label_formatter(&|ratio| format!("{ratio} x"))
        .label_style(("sans-serif", 11))
        .draw()?;
    for (number, who) in others(rows).into_iter().enumerate() {
        let colour = COLOURS[number % COLOURS.len()];
        let bars = rows.iter().filter(|row| row.who == who).filter_map(|row| {
            let left = places(CASES.iter().position(|case| case.name == row.case.name)?) + 0.1 + 0.27 * places(number);
            // From the floor up or down.
            Some(Rectangle::new([(left, 1.0), (left + 0.25, row.ratio())], colour.filled()))
        });
        let legend = move |(x, y)| Rectangle::new([(x, y - 5), (x + 10, y + 5)], colour.filled());
        chart.draw_series(bars)?.label(who).legend(legend);
    }
    for (at, case) in CASES.iter().enumerate() {
        for (line, words) in case.name.split(", ").enumerate() {
            let height = 0.02 / 1.45_f64.powi(i32::try_from(line)?);
            chart.draw_series([Text::new(words.to_owned(), (places(at) + 0.1, height), ("sans-serif", 11))])?;
        }
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .border_style(BLACK)
        .label_font(("sans-serif", 11))
        .draw()?;
    area.present()?;
    Ok(())
}

/// All but the floor, ours first.
fn others(rows: &[Row]) -> Vec<&'static str> {
    let mut whos: Vec<_> = rows.iter().map(|row| row.who).filter(|who| *who != "floor").collect();
    whos.sort_unstable_by_key(|who| (*who != "ours", *who));
    whos.dedup();
    whos
}

fn places(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::NAN, f64::from)
}
