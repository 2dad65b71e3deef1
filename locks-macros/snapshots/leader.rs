#[leader(key = "/leader/{shard}", value = format!("{}:80", self.host), ttl = self.ttl, leadership = term)]
async fn index(&self, shard: u32) -> Result<u32, Error> {
    self.index(term.fence(), shard).await
}
