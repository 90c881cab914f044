import ControllerKit
import KubeClient
import KubeTypes
import LinuxSystem
import Logging
import Routing
import Schema
import Synchronization
import Telemetry
import Wire

/// Keeps nftables in step with Services and EndpointSlices.
///
/// At the start, and when the kernel's table turns out to be another than the one that was written, it is read, and what
/// differs is changed; otherwise a change costs the service's own chains and elements. Events
/// that come while `nft` runs are handled together. What a service does not get is said in its status and by events;
/// what the kernel does not take is tried again, and is said in the node's status.
final class ServiceProxy: Sendable {
  static let serviceNameLabel = "kubernetes.io/service-name"

  private let nodeName: String
  private let services: Informer
  private let slices: Informer
  private let time: any TimeSource
  private let kernel: any RuleKernel
  private let log = Logger(label: "apus.proxy")

  private struct State {
    var dirty: Set<ObjectKey> = []
    var slices = ServiceSlices()
  }

  private let state = Mutex(State())
  private let changed = Signal()
  private let problems = ServiceProblems()
  private let serviceConditions: Controller<ServiceProblemReconciler>
  private let tableCondition: Controller<TableConditionReconciler>

  /// - Precondition: the informers do not run yet.
  init(
    nodeName: String, client: any KubeClient, informers: InformerSet, metrics: Metrics, time: any TimeSource,
    kernel: any RuleKernel = NFTProgram()
  ) {
    self.nodeName = nodeName
    self.kernel = kernel
    self.time = time
    services = informers.informer(for: KubeTypes.Service.resource)
    slices = informers.informer(for: EndpointSlice.resource)
    var random = SeededRandom(name: "service-problems")
    let events = EventRecorder(client: client, component: "service-proxy", host: nodeName, time: time)
    serviceConditions = Controller(
      ServiceProblemReconciler(client: client, services: services, problems: problems, events: events, time: time),
      workers: 1, informers: [services], events: events, metrics: metrics, time: time, seed: random.next())
    tableCondition = Controller(
      TableConditionReconciler(client: client, problems: problems, events: events, time: time),
      workers: 1, metrics: metrics, time: time, seed: random.next())
    services.onChange { [weak self] old, new in
      guard let key = (new ?? old)?.header.key else { return }
      self?.mark([key])
    }
    slices.onChange { [weak self] old, new in self?.sliceChanged(old, new) }
  }

  private func mark(_ keys: Set<ObjectKey>) {
    state.withLock { $0.dirty.formUnion(keys) }
    changed.fire()
  }

  private func sliceChanged(_ old: Object?, _ new: Object?) {
    let change = ServiceSlices.Change(old, new)
    state.withLock { $0.slices.apply(change) }
    mark(change.services)
  }

  private func takeDirty() -> Set<ObjectKey> {
    state.withLock { state in
      defer { state.dirty = [] }
      return state.dirty
    }
  }

  /// Runs until its task is cancelled; the table stays as it is then, so that pods keep their services.
  func run(_ base: NFTBase) async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await self.follow(base) }
      group.addTask { try await self.serviceConditions.run() }
      group.addTask { try await self.tableCondition.run() }
      try await group.next()
      group.cancelAll()
    }
  }

  private func follow(_ base: NFTBase) async throws {
    // Until everything is known, the table of the process before us goes on working.
    try await services.waitUntilSynced()
    try await slices.waitUntilSynced()
    var writer = RuleWriter(base: base, kernel: kernel)
    let backoff = Backoff(first: .milliseconds(100), longest: .seconds(30))
    var random = SeededRandom(name: "proxy")
    var failures = 0
    _ = takeDirty()
    let known = Self.ordered(services.list())
    var model = TrafficModel()
    let compiler = self.compiler(base)
    for (key, _) in known { _ = writer.set(changes([key], compiler, &model)) }
    var dirty = Set(writer.table.services)
    // Conditions of an earlier process are put right.
    for (key, hasCondition) in known where hasCondition { serviceConditions.enqueue(key) }
    tableCondition.enqueue(ObjectKey(name: nodeName))
    var needsAll = true
    var isFirst = true
    while true {
      var problem: String?
      do {
        // The table may be another than the one that is known here: then it is read.
        if !needsAll { needsAll = try await !writer.write(dirty).isEmpty }
        if needsAll {
          dirty.formUnion(writer.table.services)
          try await writer.writeAll()
          needsAll = false
        }
        problem = Self.problem(writer.failures)
      } catch {
        try Task.checkCancellation()
        needsAll = true
        problem = String("\(error)".prefix(Self.problemLengthMax))
      }
      await forgetFlows(writer.takeReplaced(), writer.table, atStartIn: isFirst ? base.ranges.services : nil)
      isFirst = false
      report(dirty, writer, problem)
      failures = problem == nil ? 0 : failures + 1
      try await waitForChange(orAfter: failures == 0 ? nil : backoff.delay(failures: failures, using: &random))
      dirty = takeDirty()
      dirty.formUnion(writer.set(changes(dirty, self.compiler(base), &model)))
      dirty.formUnion(writer.failures.keys)
    }
  }

  private func compiler(_ base: NFTBase) -> RouteCompiler {
    RouteCompiler(nodeName: nodeName, cluster: base.clusterAddresses(machine: HostAddresses.towardsTheWorld()))
  }

  /// Brings Services in the model up to date.
  ///
  /// - Returns: the rules of those whose routes are others now; `nil` for one that is gone.
  private func changes(
    _ keys: Set<ObjectKey>, _ compiler: RouteCompiler, _ model: inout TrafficModel
  ) -> [ObjectKey: RuleSet?] {
    var result: [ObjectKey: RuleSet?] = [:]
    for key in keys {
      let service = services.get(key)?.decode(KubeTypes.Service.self)
      let route = service.map { service in
        compiler.route(service, slices: state.withLock { $0.slices[key] })
      }
      if model.set(key, route) { result[key] = .some(route.map(ServiceRules.compile)) }
    }
    return result
  }

  /// The order in which services ask for their addresses at a start: who had lost one before does not win it now.
  static func ordered(_ services: [Object]) -> [(key: ObjectKey, hasCondition: Bool)] {
    let known = services.map { object in
      let status = object.decode(KubeTypes.Service.self).status
      let condition = status.conditions.first { $0.type == ServiceProblemReconciler.condition }
      return (
        rank: condition?.status == "False" ? 1 : 0, since: object.header.creationTimestamp, key: object.header.key,
        hasCondition: condition != nil
      )
    }
    return known.sorted { ($0.rank, $0.since, $0.key) < ($1.rank, $1.since, $1.key) }.map { ($0.key, $0.hasCondition) }
  }

  /// Conditions are for people: the beginning of what a program says is enough.
  private static let problemLengthMax = 600

  private static func problem(_ failures: [ObjectKey: String]) -> String? {
    guard let first = failures.min(by: { $0.key < $1.key }) else { return nil }
    return "the kernel does not take the rules of \(failures.count) Services; the first is \(first.key): "
      + first.value.prefix(problemLengthMax)
  }

  private func waitForChange(orAfter delay: Duration?) async throws {
    guard let delay else { return try await changed.wait() }
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await self.changed.wait() }
      group.addTask { try await self.time.sleep(for: delay) }
      try await group.next()
      group.cancelAll()
    }
    try Task.checkCancellation()
  }

  private func forgetFlows(
    _ replaced: [ObjectKey: RuleSet], _ table: ServiceTable, atStartIn ranges: IPRanges?
  ) async {
    let changed = replaced.filter { $0.value != table.applied[$0.key] ?? RuleSet() }
    let flows = ServiceFlows(
      before: Array(changed.values), after: changed.keys.compactMap { table.applied[$0] }, ranges: ranges,
      isTaken: { table.holder(of: $0) != nil })
    await flows.forget(log)
  }

  private func report(_ dirty: Set<ObjectKey>, _ writer: RuleWriter, _ problem: String?) {
    for key in dirty {
      let list = ServiceProblem.list(
        of: key, conflicts: writer.table.conflicts(of: key), refusals: writer.table.compiled[key]?.refusals ?? [],
        failure: writer.failures[key].map { String($0.prefix(Self.problemLengthMax)) })
      if problems.set(key, list) || !list.isEmpty { serviceConditions.enqueue(key) }
    }
    guard problems.set(table: problem) else { return }
    tableCondition.enqueue(ObjectKey(name: nodeName))
    if let problem {
      log.error("some service rules could not be written, will retry", metadata: ["error": "\(problem)"])
    }
  }
}
