import ControllerKit
import Wire

extension PodWorker {
  /// Checks a container's health until it ends: it is ready while it is healthy.
  nonisolated func healthLoop(_ check: HealthCheck, of name: String, _ run: ContainerRun, isAdopted: Bool) async {
    let time = context.time
    let id = run.id
    let startedAt = run.startedAt ?? run.createdAt
    var state = HealthState(check, wasHealthy: isAdopted && run.isReady)
    while !Task.isCancelled {
      let age = time.now().since(startedAt)
      let result = await carryOut(.exec(check.command), id, timeout: check.timeout)
      // A check that was broken off says nothing.
      if Task.isCancelled { return }
      let counts = state.checked(isSuccess: result == .success, age: age)
      if counts, case .failure(let message) = result, await !isStopping(id, of: name) {
        await event(.warning, "Unhealthy", "Health check failed: \(message)", container: name)
      }
      await setReady(state.status == .healthy, id, of: name)
      do {
        try await time.sleep(for: state.wait(age: time.now().since(startedAt)))
      } catch {
        return
      }
    }
  }
}
