#[distributed_lock(key = "/impl/{name}")]
fn run(&self, id: u32) -> Pin<Box<dyn Future<Output = Result<u32, Error>> + Send + '_>> {
    let name = self.name(id);
    Box::pin(async move { self.load(name).await })
}
