import ControllerKit
import KubeClient
import KubeTypes
import Schema
import Store
import Synchronization
import Wire

/// Gives Services their cluster addresses and node ports, and never one of them twice.
///
/// The allocator is rebuilt from the stored Services at start and gives back what a deleted or changed Service no
/// longer has. A reservation is made at admission and ends with the write, which by then is stored or has failed.
final class ServiceAllocator: Sendable {
  /// Who has a number, and why: a stored Service, writes that are under way, or both.
  private struct Holder {
    /// `namespace/name`
    var owner: String
    var isStored = false
    /// Two writes of one Service may want the same number; the one that fails must not take it from the other.
    var reservations = 0
  }

  /// The holders of numbers of one sort.
  private struct Table<Number: Hashable> {
    private var holders: [Number: Holder] = [:]

    func isFree(_ number: Number) -> Bool { holders[number] == nil }

    /// The Service that is stored with a number.
    func storedOwner(_ number: Number) -> String? { holders[number].flatMap { $0.isStored ? $0.owner : nil } }

    mutating func reserve(_ number: Number, for owner: String) -> Bool {
      var holder = holders[number] ?? Holder(owner: owner)
      guard holder.owner == owner else { return false }
      holder.reservations += 1
      holders[number] = holder
      return true
    }

    mutating func endReservation(_ number: Number, of owner: String) {
      change(number, of: owner) { $0.reservations = max(0, $0.reservations - 1) }
    }

    /// What another Service has stays with it.
    mutating func setStored(_ number: Number, by owner: String) {
      if holders[number] == nil { holders[number] = Holder(owner: owner) }
      change(number, of: owner) { $0.isStored = true }
    }

    mutating func removeStored(_ number: Number, by owner: String) { change(number, of: owner) { $0.isStored = false } }

    private mutating func change(_ number: Number, of owner: String, _ body: (inout Holder) -> Void) {
      guard var holder = holders[number], holder.owner == owner else { return }
      body(&holder)
      holders[number] = holder.isStored || holder.reservations > 0 ? holder : nil
    }
  }

  /// What a Service has.
  private struct Numbers {
    var addresses: [IPAddress] = []
    var ports: [Int] = []
  }

  private struct State {
    var addresses = Table<IPAddress>()
    var ports = Table<Int>()
    /// What the stored Services have, by `namespace/name`.
    var services: [String: Numbers] = [:]
    /// Addresses whose stored owner may have changed since they were last taken.
    var changed: Set<IPAddress> = []
  }

  let ranges: IPRanges
  let nodePorts: ClosedRange<Int>
  private let identifiers: IdentifierSource
  private let store: Store
  private let reader: StoredObjectReader
  private let state = Mutex(State())
  private let listener = Mutex<(@Sendable () -> Void)?>(nil)
  private let watch = Mutex<Store.Watch?>(nil)

  init(
    ranges: IPRanges, nodePorts: ClosedRange<Int>, store: Store, identifiers: IdentifierSource,
    reader: StoredObjectReader
  ) throws {
    self.ranges = ranges
    self.nodePorts = nodePorts
    self.identifiers = identifiers
    self.store = store
    self.reader = reader
    let page = try store.list(prefix: "services/")
    for entry in page.entries { set(entry, isDeleted: false) }
    let watch = try store.follow(prefix: "services/", after: page.revision) { [weak self] signal in
      guard case .events(let events) = signal, let self else { return }
      for event in events { set(event.entry, isDeleted: event.kind == .delete) }
    }
    self.watch.withLock { $0 = watch }
  }

  func used(_ service: JSON) -> (addresses: [IPAddress], ports: [Int]) {
    let spec = service["spec"]
    var texts = (spec?["clusterIPs"]?.array ?? []).compactMap(\.string)
    if let address = spec?["clusterIP"]?.string, !texts.contains(address) { texts.append(address) }
    let addresses = texts.compactMap { IPAddress($0) }.filter(ranges.contains)
    var ports = (spec?["ports"]?.array ?? []).compactMap { $0["nodePort"]?.int }.map(Int.init)
    if let port = spec?["healthCheckNodePort"]?.int { ports.append(Int(port)) }
    return (addresses, ports.filter { $0 != 0 })
  }

  private func set(_ entry: Entry, isDeleted: Bool) {
    var after = Numbers()
    if !isDeleted {
      // What cannot be read keeps what it had: somebody else would get it a second time.
      guard let service = reader.read(entry) else { return }
      (after.addresses, after.ports) = used(service)
    }
    let owner = entry.header.key.description
    let numbers = after
    let changed = state.withLock { state in
      let before = state.services[owner] ?? Numbers()
      state.services[owner] = isDeleted ? nil : numbers
      for address in before.addresses where !numbers.addresses.contains(address) {
        state.addresses.removeStored(address, by: owner)
      }
      for port in before.ports where !numbers.ports.contains(port) { state.ports.removeStored(port, by: owner) }
      for address in numbers.addresses { state.addresses.setStored(address, by: owner) }
      for port in numbers.ports { state.ports.setStored(port, by: owner) }
      return Set(before.addresses).symmetricDifference(numbers.addresses)
    }
    if !changed.isEmpty { noteChanged(changed) }
  }

  // MARK: Who has which address

  /// Calls the listener, from any thread, when the owner of an address may have changed. It must not block.
  func onChange(_ listener: @escaping @Sendable () -> Void) { self.listener.withLock { $0 = listener } }

  /// Has the owners of addresses looked at.
  func noteChanged(_ addresses: Set<IPAddress>) {
    state.withLock { $0.changed.formUnion(addresses) }
    listener.withLock { $0 }?()
  }

  /// Addresses to look at, each told once.
  func takeChanged() -> [IPAddress] {
    state.withLock { state in
      defer { state.changed = [] }
      return state.changed.sorted()
    }
  }

  /// The Service that is stored with an address, as `namespace/name`.
  func owner(of address: IPAddress) -> String? { state.withLock { $0.addresses.storedOwner(address) } }

  /// Whether somebody took the address for himself by an IPAddress of his own (KEP-1880).
  private func isClaimed(_ address: IPAddress, against owner: String) -> Bool {
    guard let entry = store.get(ServiceAddressRecord.key(address)), !ServiceAddressRecord.isOurs(entry) else {
      return false
    }
    return ServiceAddressRecord.owner(entry) != owner
  }

  /// Reserves a chosen address; `false` when another Service has it.
  func reserve(address: IPAddress, for owner: String) -> Bool {
    !isClaimed(address, against: owner) && state.withLock { $0.addresses.reserve(address, for: owner) }
  }

  func reserve(port: Int, for owner: String) -> Bool {
    state.withLock { $0.ports.reserve(port, for: owner) }
  }

  /// Reserves a free address of a range. The lower part is left for addresses that people choose (KEP-3070).
  func reserveAddress(in range: IPRange, for owner: String) -> IPAddress? {
    let last = range.count - 2
    let boundary = min(max(16, range.count / 16), 256, max(1, range.count / 2))
    for part in [boundary...max(boundary, last), 1...max(1, boundary - 1)] {
      let start = identifiers.number(below: part.count)
      for step in 0..<part.count {
        let index = part.lowerBound + (start + step) % part.count
        guard index <= last, index != ClusterAddresses.dnsIndex, index != ClusterAddresses.apiIndex else { continue }
        let address = range[index]
        if isClaimed(address, against: owner) { continue }
        let isReserved = state.withLock { state in
          state.addresses.isFree(address) && state.addresses.reserve(address, for: owner)
        }
        if isReserved { return address }
      }
    }
    return nil
  }

  /// Reserves a free node port, from the upper part of the range first (KEP-3668).
  func reservePort(for owner: String) -> Int? {
    let count = nodePorts.count
    let boundary = min(max(16, count / 32), 128, count / 2)
    return state.withLock { state in
      for part in [
        nodePorts.lowerBound + boundary..<nodePorts.upperBound + 1,
        nodePorts.lowerBound..<nodePorts.lowerBound + boundary,
      ] where !part.isEmpty {
        let start = identifiers.number(below: part.count)
        for step in 0..<part.count {
          let port = part.lowerBound + (start + step) % part.count
          if state.ports.isFree(port), state.ports.reserve(port, for: owner) { return port }
        }
      }
      return nil
    }
  }

  /// Ends reservations: the numbers are free again unless the Service was stored with them.
  func endReservations(addresses: [IPAddress], ports: [Int], of owner: String) {
    state.withLock { state in
      for address in addresses { state.addresses.endReservation(address, of: owner) }
      for port in ports { state.ports.endReservation(port, of: owner) }
    }
  }
}

/// Completes Services: cluster addresses, IP families, node ports. Refuses addresses that are the cluster's own.
struct ServiceAdmission: AdmissionStep {
  let allocator: ServiceAllocator
  /// The machine's addresses change: they are asked for when a Service names external ones.
  let cluster: @Sendable () -> ClusterAddresses

  func admit(_ request: inout AdmissionRequest) throws(KubeError) {
    try checkExternalAddresses(request)
    guard request.isCore("services"), request.isStored, var spec = request.object["spec"],
      spec.object != nil
    else { return }
    let owner = "\(request.namespace)/\(request.name)"
    let type = spec["type"]?.string ?? "ClusterIP"
    let old = request.old?["spec"]
    if let old {
      ServiceTypeChange.dropOutdated(&spec, type: type, old: old)
      ServiceTypeChange.keepNodePorts(&spec, type: type, old: old)
    }
    let held = request.old.map(allocator.used)?.ports ?? []
    var addresses: [IPAddress] = []
    var ports: [Int] = []
    let allocator = allocator
    defer {
      let (newAddresses, newPorts) = (addresses, ports)
      if !newAddresses.isEmpty || !newPorts.isEmpty {
        request.reservations.append { allocator.endReservations(addresses: newAddresses, ports: newPorts, of: owner) }
      }
    }

    if type != "ExternalName" {
      if let oldAddress = old?["clusterIP"]?.string, !oldAddress.isEmpty, old?["type"]?.string != "ExternalName",
        spec["clusterIP"]?.string?.isEmpty ?? true
      {
        // An update that leaves the address out keeps it.
        spec["clusterIP"] = .string(oldAddress)
        spec["clusterIPs"] = old?["clusterIPs"]
      }
      var wanted = spec["clusterIP"]?.string ?? ""
      if !wanted.isEmpty, let old, old["type"]?.string != "ExternalName", old["clusterIP"]?.string != wanted,
        spec["clusterIPs"] == old["clusterIPs"]
      {
        // An update that knows only the older field: what it means for the other is judged there.
        spec["clusterIPs"] = [.string(wanted)]
      }
      if wanted.isEmpty, let first = spec["clusterIPs"]?.array?.first?.string { wanted = first }
      if !wanted.isEmpty {
        spec["clusterIP"] = .string(wanted)
        if spec["clusterIPs"]?.array?.isEmpty ?? true { spec["clusterIPs"] = [.string(wanted)] }
      }
      let problems = ServiceFamilies.settle(
        &spec, old: old?["type"]?.string == "ExternalName" ? nil : old, served: allocator.ranges.families)
      guard problems.isEmpty else {
        throw .invalid(kind: request.kind.groupVersionKind, name: request.name, problems)
      }
      if wanted == "None" {
        spec["clusterIP"] = "None"
        spec["clusterIPs"] = ["None"]
      } else {
        try assignAddresses(&spec, known: Self.addresses(old), owner: owner, request, reserved: &addresses)
      }
    }

    try assignPorts(&spec, type: type, held: held, owner: owner, request, reserved: &ports)
    request.object["spec"] = spec
    if request.operation == .create { request.object["status"] = ["loadBalancer": [:]] }
  }

  /// Gives a Service an address of each of its families, and takes those that it asks for.
  ///
  /// - Parameter known: the addresses that it has.
  private func assignAddresses(
    _ spec: inout JSON, known: [IPAddress], owner: String, _ request: AdmissionRequest, reserved: inout [IPAddress]
  ) throws(KubeError) {
    let named = (spec["clusterIPs"]?.array ?? []).map { $0.string ?? "" }
    let families = (spec["ipFamilies"]?.array ?? []).compactMap { $0.string.flatMap(IPAddress.Family.init) }
    var result: [JSON] = []
    // What is asked for goes first: nothing that is given freely may take it.
    for (index, text) in named.enumerated() where !text.isEmpty {
      guard let address = IPAddress(text) else {
        throw request.invalid(
          "spec.clusterIPs[\(index)]", .invalid, .array(named.map { .string($0) }),
          "must be a valid IP address or 'None'")
      }
      // What it has stays, though the cluster may have other ranges now.
      if !known.contains(address) { try take(address, owner: owner, request, reserved: &reserved) }
    }
    for (index, family) in families.enumerated() {
      if index < named.count, !named[index].isEmpty {
        result.append(.string(named[index]))
        continue
      }
      guard let range = allocator.ranges[family], let address = allocator.reserveAddress(in: range, for: owner) else {
        throw .internalError(
          "failed to allocate IP: the service range \(allocator.ranges[family]?.description ?? "") is full")
      }
      reserved.append(address)
      result.append(.string(address.description))
    }
    // One that was named and is another than the first is for the validation to refuse.
    if spec["clusterIP"]?.string?.isEmpty ?? true { spec["clusterIP"] = result.first }
    spec["clusterIPs"] = .array(result)
  }

  private static func addresses(_ spec: JSON?) -> [IPAddress] {
    (spec?["clusterIPs"]?.array ?? [spec?["clusterIP"] ?? .null]).compactMap { $0.string.flatMap { IPAddress($0) } }
  }

  private func take(
    _ address: IPAddress, owner: String, _ request: AdmissionRequest, reserved: inout [IPAddress]
  ) throws(KubeError) {
    func refuse(_ reason: String) -> KubeError {
      request.invalid(
        "spec.clusterIPs", .invalid, .array([.string(address.description)]),
        "failed to allocate IP \(address): \(reason)")
    }
    guard let range = allocator.ranges[address.family], let index = range.index(of: address), index > 0,
      index < range.count - 1
    else {
      let valid = allocator.ranges[address.family] ?? allocator.ranges.primary
      throw refuse("the provided IP (\(address)) is not in the valid range. The range of valid IPs is \(valid)")
    }
    if let refusal = cluster().refusal(cluster: address, for: owner) { throw refuse("it \(refusal)") }
    guard allocator.reserve(address: address, for: owner) else { throw refuse("provided IP is already allocated") }
    reserved.append(address)
  }

  /// External addresses and those of load balancers. What the Service had before stays: it is not translated, and a
  /// condition of the Service says so.
  private func checkExternalAddresses(_ request: AdmissionRequest) throws(KubeError) {
    guard request.kind.group.isEmpty, request.kind.resource == "services", request.isStored else { return }
    typealias Named = (path: String, text: String)
    func external(_ service: JSON?) -> [Named] {
      (service?.at("spec", "externalIPs")?.array ?? []).enumerated().map {
        ("spec.externalIPs[\($0.offset)]", $0.element.string ?? "")
      }
    }
    func balanced(_ service: JSON?) -> [Named] {
      (service?.at("status", "loadBalancer", "ingress")?.array ?? []).enumerated().map {
        ("status.loadBalancer.ingress[\($0.offset)].ip", $0.element["ip"]?.string ?? "")
      }
    }
    let fields: [(read: (JSON?) -> [Named], source: ClusterAddresses.Source)] = [
      (external, .user), (balanced, .loadBalancer),
    ]
    for (read, source) in fields {
      let named = read(request.object)
      if named.isEmpty { continue }
      let known = Set(read(request.old).map(\.text))
      let new = named.filter { !known.contains($0.text) }
      if new.isEmpty { continue }
      let cluster = cluster()
      for (path, text) in new {
        // What is no address is said by the validation.
        guard let address = IPAddress(text), let refusal = cluster.refusal(external: address, from: source) else {
          continue
        }
        throw request.invalid(path, .invalid, .string(text), refusal)
      }
    }
  }

  private func assignPorts(
    _ spec: inout JSON, type: String, held: [Int], owner: String, _ request: AdmissionRequest, reserved: inout [Int]
  ) throws(KubeError) {
    guard var list = spec["ports"]?.array else { return }
    let needsPorts =
      type == "NodePort" || (type == "LoadBalancer" && spec["allocateLoadBalancerNodePorts"]?.bool != false)
    // Other types have none; the validation refuses those that they name.
    guard needsPorts || type == "LoadBalancer" else { return }
    for index in list.indices {
      var number = Int(list[index]["nodePort"]?.int ?? 0)
      if number != 0 {
        let path = "spec.ports[\(index)].nodePort"
        guard allocator.nodePorts.contains(number) else {
          throw request.invalid(
            path, .invalid, .int(Int64(number)),
            "provided port is not in the valid range. The range of valid ports is "
              + "\(allocator.nodePorts.lowerBound)-\(allocator.nodePorts.upperBound)")
        }
        if !held.contains(number), !reserved.contains(number) {
          guard allocator.reserve(port: number, for: owner) else {
            throw request.invalid(path, .invalid, .int(Int64(number)), "provided port is already allocated")
          }
          reserved.append(number)
        }
      } else if needsPorts {
        guard let free = allocator.reservePort(for: owner) else {
          throw .internalError("failed to allocate a nodePort: range is full")
        }
        reserved.append(free)
        number = free
      }
      if number != 0 { list[index]["nodePort"] = .int(Int64(number)) }
    }
    spec["ports"] = .array(list)
  }
}
