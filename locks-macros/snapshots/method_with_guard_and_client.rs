#[distributed_lock(key = "/orders/{self.id:04}", ttl = self.ttl, hold_at_most = 60, on_lost = continue, guard = held, client = &self.locks, name = "orders")]
async fn ship(&mut self, Order { id, .. }: Order) -> Result<impl Display, Error> {
    self.store.write(held.fence(), id).await
}
