/// Runs `body` as long as the stream has not ended; then its task is cancelled.
func alive(as life: AsyncStream<Void>, _ body: @escaping @Sendable () async -> Void) async {
  await withTaskGroup(of: Void.self) { group in
    group.addTask { await body() }
    group.addTask { for await _ in life {} }
    await group.next()
    group.cancelAll()
  }
}
