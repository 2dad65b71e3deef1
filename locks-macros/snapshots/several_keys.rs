#[distributed_lock(keys = ["/account/{from}", "/account/{to.id}", ledger()], wait = 0)]
async fn transfer(from: u32, to: Account) -> Result<(), Error> {
    move_money(from, to).await
}
