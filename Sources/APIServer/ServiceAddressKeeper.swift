import KubeClient
import KubeTypes
import Schema
import Store
import Wire

/// The IPAddress that says who has a cluster address.
enum ServiceAddressRecord {
  /// The ServiceCIDR of the range that this server gives addresses from.
  static let rangeName = "kubernetes"
  static let resource = GroupVersionResource(group: "networking.k8s.io", version: "v1", resource: "ipaddresses")
  static let prefix = "networking.k8s.io/ipaddresses/"

  private static let managerLabel = "ipaddress.kubernetes.io/managed-by"
  private static let manager = "ipallocator.k8s.io"

  static func key(_ address: IPAddress) -> String { prefix + address.description }

  /// Whether it follows a Service; others are people's, who take an address for something else.
  static func isOurs(_ entry: Entry) -> Bool { entry.header.labels[managerLabel] == manager }

  /// The Service that it names, as `namespace/name`.
  static func owner(_ entry: Entry) -> String? {
    guard let parent = (try? JSON.parse(entry.value))?.at("spec", "parentRef"),
      parent["resource"]?.string == "services", parent["group"]?.string?.isEmpty ?? true
    else { return nil }
    return "\(parent["namespace"]?.string ?? "")/\(parent["name"]?.string ?? "")"
  }

  static func object(_ address: IPAddress, owner: String) -> JSON {
    let parts = owner.split(separator: "/", maxSplits: 1).map(String.init)
    return [
      "apiVersion": "networking.k8s.io/v1", "kind": "IPAddress",
      "metadata": [
        "name": .string(address.description),
        "labels": [
          managerLabel: .string(manager), "ipaddress.kubernetes.io/ip-family": .string(address.family.rawValue),
        ],
      ],
      "spec": [
        "parentRef": [
          "resource": "services", "namespace": .string(parts.first ?? ""), "name": .string(parts.last ?? ""),
        ]
      ],
    ]
  }
}

/// Keeps an IPAddress for each cluster address, and says of each ServiceCIDR whether addresses come from it (KEP-1880).
///
/// The Services themselves say who has which address; these objects follow them, and are put right when somebody changes
/// or removes them.
struct ServiceAddressKeeper: Sendable {
  let client: LocalClient
  let allocator: ServiceAllocator
  let store: Store
  let time: any TimeSource

  private static let ranges = GroupVersionResource(group: "networking.k8s.io", version: "v1", resource: "servicecidrs")
  private static let rangesPrefix = "networking.k8s.io/servicecidrs/"

  /// Until the task is cancelled.
  func run() async {
    let (changes, continuation) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
    allocator.onChange { continuation.yield() }
    guard let watches = try? follow({ continuation.yield() }) else { return }
    defer { for watch in watches { watch.cancel() } }
    noteAll()
    continuation.yield()
    for await _ in changes {
      while true {
        do {
          try await keep()
          break
        } catch {
          noteAll()
          do { try await time.sleep(for: .seconds(1)) } catch { return }
        }
      }
    }
  }

  private func follow(_ wake: @escaping @Sendable () -> Void) throws -> [Store.Watch] {
    let allocator = allocator
    let records = try store.watch(
      prefix: ServiceAddressRecord.prefix, after: store.revision,
      deliver: { signal in
        guard case .events(let events) = signal else { return }
        let addresses = events.compactMap { IPAddress($0.entry.header.name) }.filter(allocator.ranges.contains)
        if !addresses.isEmpty { allocator.noteChanged(Set(addresses)) }
      })
    let ranges = try store.watch(
      prefix: Self.rangesPrefix, after: store.revision,
      deliver: { signal in if case .events = signal { wake() } })
    return [records, ranges]
  }

  /// Has every address looked at that a Service or an IPAddress has.
  func noteAll() {
    func entries(_ prefix: String) -> [Entry] { (try? store.list(prefix: prefix).entries) ?? [] }
    var addresses = Set(
      entries(ServiceAddressRecord.prefix).compactMap { IPAddress($0.header.name) }.filter(allocator.ranges.contains))
    for entry in entries("services/") {
      if let service = try? JSON.parse(entry.value) { addresses.formUnion(allocator.used(service).addresses) }
    }
    allocator.noteChanged(addresses)
  }

  /// Puts right what changed since the last time.
  func keep() async throws {
    for address in allocator.takeChanged() { try await keep(address) }
    for entry in try store.list(prefix: Self.rangesPrefix).entries { try await settle(entry) }
  }

  private func keep(_ address: IPAddress) async throws {
    let owner = allocator.owner(of: address)
    if let record = store.get(ServiceAddressRecord.key(address)) {
      guard ServiceAddressRecord.isOurs(record), ServiceAddressRecord.owner(record) != owner else { return }
      do {
        _ = try await client.delete(
          ServiceAddressRecord.resource, namespace: nil, name: record.header.name,
          options: DeleteOptions(preconditionUID: record.header.uid))
      } catch let error as KubeError where error.reason == .notFound {}
    }
    guard let owner else { return }
    do {
      _ = try await client.create(
        ServiceAddressRecord.resource, namespace: nil, name: nil, subresource: nil,
        body: ServiceAddressRecord.object(address, owner: owner), options: WriteOptions())
    } catch let error as KubeError where error.reason == .alreadyExists {}
  }

  /// Says whether addresses come from a range.
  private func settle(_ entry: Entry) async throws {
    guard let range = try? JSON.parse(entry.value),
      !(range.at("status", "conditions")?.array ?? []).contains(where: { $0["type"]?.string == "Ready" })
    else { return }
    let isServed = range.at("spec", "cidrs") == .array(allocator.ranges.all.map { .string($0.description) })
    var condition: JSON = [
      "type": "Ready", "status": .string(isServed ? "True" : "False"),
      "lastTransitionTime": .string(time.now().rfc3339),
    ]
    condition["reason"] = isServed ? "RangeServed" : "RangeNotServed"
    condition["message"] = .string(
      isServed
        ? "Kubernetes Service CIDR is ready"
        : "services get their addresses from \(allocator.ranges) alone, which the server was started with")
    _ = try await client.patch(
      Self.ranges, namespace: nil, name: entry.header.name, subresource: "status", type: .merge,
      body: ["status": ["conditions": [condition]]], options: WriteOptions())
  }
}
