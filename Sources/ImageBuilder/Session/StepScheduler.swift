import Dockerfile
import OCI
import Wire

/// What the steps of a plan made.
struct StepResult: Sendable {
  /// All layers up to here.
  var layers: [Image.Layer]
  /// Whether the step itself added the last one.
  var hasLayer: Bool
  /// When it ran; `nil` for what a base image brings.
  var created: Timestamp?
}

/// Runs the steps of a plan: each as soon as those it depends on are done, several at the same time.
struct StepScheduler: Sendable {
  let session: BuildSession
  let plan: BuildPlan
  let dockerfile: Dockerfile

  func run() async throws(BuildError) -> [StepResult] {
    var waiting = plan.steps.map { Set($0.dependencies).count }
    var dependents = [[Int]](repeating: [], count: plan.steps.count)
    for step in plan.steps {
      for dependency in Set(step.dependencies) { dependents[dependency].append(step.id) }
    }
    let first = plan.steps.filter { waiting[$0.id] == 0 }.map(\.id)
    let total = plan.steps.count
    let parallelMax = max(1, session.request.parallelismMax)
    let outcomes = Outcomes<StepResult>()
    let outcome: Result<[StepResult], BuildError> = await withTaskGroup(of: Int.self) { group in
      var results = [StepResult?](repeating: nil, count: total)
      var ready = first
      var running = 0
      var done = 0
      var failure: BuildError?
      while failure == nil, done < total {
        while running < parallelMax, !ready.isEmpty {
          let step = plan.steps[ready.removeFirst()]
          let parent = step.parent.flatMap { results[$0] }
          running += 1
          group.addTask {
            do throws(BuildError) {
              outcomes.set(step.id, .success(try await perform(step, parent: parent)))
            } catch {
              outcomes.set(step.id, .failure(error))
            }
            return step.id
          }
        }
        guard let id = await group.next() else { break }
        running -= 1
        switch outcomes.take(id) {
        case .success(let value):
          results[id] = value
          done += 1
          session.set(value.layers, of: id, label: label(plan.steps[id]))
          for dependent in dependents[id] {
            waiting[dependent] -= 1
            if waiting[dependent] == 0 { ready.append(dependent) }
          }
          ready.sort()
        case .failure(let error): failure = error
        }
      }
      group.cancelAll()
      // The first failure counts: those that it cancelled say nothing new.
      for await id in group {
        if case .failure(let error) = outcomes.take(id), failure?.code == .cancelled, error.code != .cancelled {
          failure = error
        }
      }
      if let failure { return .failure(failure) }
      return .success(results.compactMap { $0 })
    }
    return try outcome.get()
  }

  private func label(_ step: Step) -> String {
    if case .base(let image) = step.kind { return "image \(image.reference)" }
    let stage = dockerfile.stages[step.stage]
    return "stage \"\(stage.name ?? String(stage.index))\""
  }

  private func perform(_ step: Step, parent: StepResult?) async throws(BuildError) -> StepResult {
    if Task.isCancelled { throw .cancelled }
    let vertex = session.reporter.start(step.title)
    do throws(BuildError) {
      let result = try await StepExecutor(session: session, step: step, plan: plan).perform(
        parent: parent, vertex: vertex)
      return result
    } catch {
      vertex.fail(error)
      guard let range = step.range, error.code != .cancelled else { throw error }
      throw error.at(range, in: dockerfile.source, step: step.title)
    }
  }
}
