//! What the example `cron` prints in its table.

/// A job's row.
#[derive(Debug)]
pub struct Row {
    /// The job.
    pub job: String,
    /// How many ticks were due.
    pub ticks: u32,
    /// How many workers ran one.
    pub runs: u32,
    /// How many workers found the lock taken.
    pub taken: u32,
    /// How many workers came so late that another one may have run the tick.
    pub late: u32,
    /// How many ticks no worker ran.
    pub missed: u32,
}

impl Row {
    /// That every tick has been run once, and by every worker accounted for. Only the job that takes longer than its period
    /// may miss ticks, and a machine that made workers late.
    ///
    /// # Panics
    ///
    /// If not.
    #[track_caller]
    pub fn check(&self) {
        assert_eq!(self.ticks, if self.job == "heartbeat" { 7 } else { 4 }, "{self:?}");
        assert_eq!(self.runs + self.taken + self.late, 3 * self.ticks, "{self:?}");
        assert_eq!(self.runs + self.missed, self.ticks, "{self:?}");
        assert!(self.job == "backup" || self.missed == 0 || self.late > 0, "a tick was lost: {self:?}");
    }
}

/// All rows that it `printed`.
///
/// # Panics
///
/// If a job has none.
#[track_caller]
pub fn rows(printed: &str) -> Vec<Row> {
    let row = |job: &str| {
        let row = printed.lines().find(|line| line.split_whitespace().next() == Some(job));
        let numbers =
            row.map(|row| row.split_whitespace().skip(1).map_while(|word| word.parse().ok()).collect::<Vec<_>>());
        let Some([ticks, runs, taken, late, missed]) = numbers.as_deref() else { panic!("no {job} in {printed}") };
        Row { job: job.to_owned(), ticks: *ticks, runs: *runs, taken: *taken, late: *late, missed: *missed }
    };
    ["backup", "heartbeat", "report-eu", "report-us"].map(row).into()
}
