//! What a server has counted.

/// One reading of a server's counters. Take one before and one after, and compare.
#[derive(Clone, Debug)]
pub struct Metrics(Vec<Sample>);

#[derive(Clone, Debug)]
struct Sample {
    name: String,
    labels: String,
    value: f64,
}

impl Metrics {
    /// The sum over all series of this name that carry all of these labels; 0 if there is none.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.0.iter().filter(|sample| sample.name == name && sample.has(labels)).map(|sample| sample.value).sum()
    }

    /// As [`sum`](Metrics::sum), for what is counted.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counters are small whole numbers")]
    pub fn count(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        self.sum(name, labels) as u64
    }

    /// Calls begun of one method, such as "Txn", "Range", "LeaseGrant" or "Watch". A stream is one call.
    pub fn calls(&self, method: &str) -> u64 {
        self.count("grpc_server_started_total", &[("grpc_method", method)])
    }

    /// Calls begun of every method that a lock may need.
    pub fn all_calls(&self) -> u64 {
        let unary = ["Txn", "Range", "Put", "DeleteRange", "LeaseGrant", "LeaseRevoke", "LeaseTimeToLive"];
        let streams = ["Watch", "LeaseKeepAlive"];
        unary.iter().chain(&streams).map(|method| self.calls(method)).sum()
    }

    /// Messages received by one method: for "LeaseKeepAlive" and "Watch", what was received over the streams.
    pub fn messages(&self, method: &str) -> u64 {
        self.count("grpc_server_msg_received_total", &[("grpc_method", method)])
    }

    /// The bytes of all answers to clients.
    pub fn sent_bytes(&self) -> u64 {
        self.count("etcd_network_client_grpc_sent_bytes_total", &[])
    }

    /// Reads the text format of Prometheus.
    pub(super) fn parse(text: &str) -> Metrics {
        Metrics(text.lines().filter(|line| !line.starts_with('#')).filter_map(Sample::parse).collect())
    }
}

impl Sample {
    /// `name{label="value",…} 12` or `name 12`
    fn parse(line: &str) -> Option<Sample> {
        let (series, value) = line.rsplit_once(' ')?;
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        Some(Sample { name: name.to_owned(), labels: format!("{{{labels}"), value: value.parse().ok()? })
    }

    fn has(&self, labels: &[(&str, &str)]) -> bool {
        labels.iter().all(|(label, value)| {
            let pair = format!("{label}=\"{value}\"");
            [format!("{{{pair}"), format!(",{pair}")].iter().any(|start| self.labels.contains(start))
        })
    }
}
