import KubeTypes
import Wire

/// Amounts of node resources: millicores of `cpu`, bytes of `memory` and `ephemeral-storage`, and whole units of every
/// other resource (`hugepages-2Mi`, `example.com/gpu`).
struct ResourceVector: Sendable, Equatable {
  var cpuMilli: Int64 = 0
  var memory: Int64 = 0
  var ephemeralStorage: Int64 = 0
  var extended: [String: Int64] = [:]

  init(cpuMilli: Int64 = 0, memory: Int64 = 0, ephemeralStorage: Int64 = 0, extended: [String: Int64] = [:]) {
    self.cpuMilli = cpuMilli
    self.memory = memory
    self.ephemeralStorage = ephemeralStorage
    self.extended = extended
  }

  /// A `v1.ResourceList`. `pods` is left out: it is counted, not summed. Less than nothing is nothing.
  init(_ list: [String: Quantity]) {
    for (name, quantity) in list {
      switch name {
      case "cpu": cpuMilli = max(0, quantity.milliValue)
      case "memory": memory = max(0, quantity.value)
      case "ephemeral-storage": ephemeralStorage = max(0, quantity.value)
      case "pods": break
      default: extended[name] = max(0, quantity.value)
      }
    }
  }

  /// Whether an amount is at its bound: a sum that came there cannot be taken apart again.
  var isSaturated: Bool {
    cpuMilli == .max || memory == .max || ephemeralStorage == .max || extended.values.contains(.max)
  }

  static func + (a: ResourceVector, b: ResourceVector) -> ResourceVector {
    var sum = a
    sum.add(b)
    return sum
  }

  mutating func add(_ other: ResourceVector) {
    cpuMilli = cpuMilli.addingSaturated(other.cpuMilli)
    memory = memory.addingSaturated(other.memory)
    ephemeralStorage = ephemeralStorage.addingSaturated(other.ephemeralStorage)
    for (name, amount) in other.extended { extended[name] = (extended[name] ?? 0).addingSaturated(amount) }
  }

  /// Takes back what was added to a sum that never was at its bound.
  mutating func subtract(_ other: ResourceVector) {
    precondition(!isSaturated, "a sum is taken apart that is only a bound")
    cpuMilli -= other.cpuMilli
    memory -= other.memory
    ephemeralStorage -= other.ephemeralStorage
    for (name, amount) in other.extended {
      let rest = (extended[name] ?? 0) - amount
      extended[name] = rest == 0 ? nil : rest
    }
  }

  /// The larger amount of each resource.
  mutating func formUnion(_ other: ResourceVector) {
    cpuMilli = max(cpuMilli, other.cpuMilli)
    memory = max(memory, other.memory)
    ephemeralStorage = max(ephemeralStorage, other.ephemeralStorage)
    for (name, amount) in other.extended { extended[name] = max(extended[name] ?? 0, amount) }
  }
}

extension Int64 {
  /// Requests come from outside: a sum that does not fit is as unsatisfiable as the largest amount, and must not trap.
  func addingSaturated(_ other: Int64) -> Int64 {
    let (sum, overflow) = addingReportingOverflow(other)
    return overflow ? .max : sum
  }
}

extension ResourceVector {
  /// What a pod takes from its node: the larger of what its containers need together and what its init containers need
  /// one after the other, each beside the sidecars (restartable init containers) that were started before it, plus the
  /// overhead. Pod-level requests (KEP-2837) replace the sum where they are given.
  static func requests(of spec: PodSpec) -> ResourceVector {
    var running = ResourceVector()
    for container in spec.containers { running.add(ResourceVector(container.resources?.requests ?? [:])) }
    var sidecars = ResourceVector()
    var peak = ResourceVector()
    for container in spec.initContainers {
      let request = ResourceVector(container.resources?.requests ?? [:])
      if container.restartPolicy == "Always" {
        running.add(request)
        sidecars.add(request)
        peak.formUnion(sidecars)
      } else {
        peak.formUnion(sidecars + request)
      }
    }
    running.formUnion(peak)
    for (name, quantity) in spec.resources?.requests ?? [:] {
      let podLevel = ResourceVector([name: quantity])
      switch name {
      case "cpu": running.cpuMilli = podLevel.cpuMilli
      case "memory": running.memory = podLevel.memory
      default: running.extended.merge(podLevel.extended) { $1 }
      }
    }
    running.add(ResourceVector(spec.overhead))
    return running
  }
}
