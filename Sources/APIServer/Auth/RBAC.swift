import KubeClient
import KubeTypes
import Schema
import Store
import Synchronization
import Wire

/// What a request does, for the question whether it may.
struct AccessAttributes: Sendable {
  var user: UserInfo
  var verb: String
  var namespace = ""
  var group = ""
  var resource = ""
  var subresource = ""
  var name = ""
  var isResourceRequest = true
  /// For requests that are for no resource.
  var path = ""

  /// The namespace for storage: a Namespace lives in none, although its rights are looked up in itself.
  private var objectNamespace: String { resource == "namespaces" && group.isEmpty ? "" : namespace }

  /// `pods is forbidden: User "x" cannot list resource "pods" in API group "" in the namespace "default"`.
  var refusal: KubeError {
    guard isResourceRequest else {
      return KubeError(
        code: 403, reason: .forbidden, message: "forbidden: User \"\(user.name)\" cannot \(verb) path \"\(path)\"",
        details: KubeError.Details())
    }
    let asked = subresource.isEmpty ? resource : "\(resource)/\(subresource)"
    let place = objectNamespace.isEmpty ? "at the cluster scope" : "in the namespace \"\(objectNamespace)\""
    return .forbidden(
      GroupVersionResource(group: group, version: "", resource: resource), name,
      "User \"\(user.name)\" cannot \(verb) resource \"\(asked)\" in API group \"\(group)\" \(place)")
  }
}

/// Role-based access control (`rbac.authorization.k8s.io/v1`), evaluated from an index that follows the store.
final class RBAC: Sendable {
  struct Rule: Sendable {
    var verbs: Set<String>
    var groups: Set<String>
    var resources: Set<String>
    var names: Set<String>
    var paths: [String]

    init(_ json: JSON) {
      func strings(_ key: String) -> [String] { json[key]?.array?.compactMap(\.string) ?? [] }
      verbs = Set(strings("verbs"))
      groups = Set(strings("apiGroups"))
      resources = Set(strings("resources"))
      names = Set(strings("resourceNames"))
      paths = strings("nonResourceURLs")
    }

    func allows(_ attributes: AccessAttributes) -> Bool {
      guard verbs.contains(attributes.verb) || verbs.contains("*") else { return false }
      guard attributes.isResourceRequest else {
        return paths.contains { path in
          path == "*" || path == attributes.path || (path.hasSuffix("*") && attributes.path.hasPrefix(path.dropLast()))
        }
      }
      guard groups.contains(attributes.group) || groups.contains("*") else { return false }
      let resource =
        attributes.subresource.isEmpty ? attributes.resource : "\(attributes.resource)/\(attributes.subresource)"
      guard
        resources.contains(resource) || resources.contains("*")
          || (!attributes.subresource.isEmpty && resources.contains("*/\(attributes.subresource)"))
      else { return false }
      return names.isEmpty || names.contains(attributes.name)
    }

    var json: JSON {
      var object: JSONObject = ["verbs": .array(verbs.sorted().map(JSON.string))]
      if paths.isEmpty {
        object["apiGroups"] = .array(groups.sorted().map(JSON.string))
        object["resources"] = .array(resources.sorted().map(JSON.string))
        if !names.isEmpty { object["resourceNames"] = .array(names.sorted().map(JSON.string)) }
      } else {
        object["nonResourceURLs"] = .array(paths.map(JSON.string))
      }
      return .object(object)
    }
  }

  struct Binding {
    /// The key of the role in the index; `nil` for a reference that no role can have.
    var role: String?
    var users: Set<String>
    var groups: Set<String>

    /// - Parameter namespace: empty for a ClusterRoleBinding.
    init(_ json: JSON, namespace: String) {
      let name = json.at("roleRef", "name")?.string ?? ""
      switch json.at("roleRef", "kind")?.string {
      case "ClusterRole": role = "/\(name)"
      case "Role" where !namespace.isEmpty: role = "\(namespace)/\(name)"
      default: role = nil
      }
      users = []
      groups = []
      for subject in json["subjects"]?.array ?? [] {
        let name = subject["name"]?.string ?? ""
        switch subject["kind"]?.string {
        case "User": users.insert(name)
        case "Group": groups.insert(name)
        case "ServiceAccount":
          users.insert("system:serviceaccount:\(subject["namespace"]?.string ?? namespace):\(name)")
        default: break
        }
      }
    }
  }

  /// What is stored, so that a request finds the bindings of its user in its namespace, and that a change costs what it
  /// changes, however many others there are.
  struct Index {
    /// The bindings of one user or group: the key of the role, by the store key of the binding.
    private struct Bindings {
      var ofCluster: [String: String] = [:]
      var ofNamespace: [String: [String: String]] = [:]

      var isEmpty: Bool { ofCluster.isEmpty && ofNamespace.isEmpty }

      mutating func set(_ role: String?, key: String, namespace: String) {
        guard !namespace.isEmpty else {
          ofCluster[key] = role
          return
        }
        ofNamespace[namespace, default: [:]][key] = role
        if ofNamespace[namespace]?.isEmpty == true { ofNamespace[namespace] = nil }
      }
    }

    /// By `namespace/name`; the namespace is empty for cluster roles.
    var roles: [String: [Rule]] = [:]
    /// By store key.
    private var bindings: [String: (binding: Binding, namespace: String)] = [:]
    private var ofUser: [String: Bindings] = [:]
    private var ofGroup: [String: Bindings] = [:]
    /// How many entries of the tables were written so far, by which tests see what a change costs.
    private(set) var writes = 0

    /// - Parameter binding: `nil` when there is none any more, or none that can be read.
    mutating func set(_ binding: Binding?, key: String, namespace: String) {
      if let (old, namespace) = bindings.removeValue(forKey: key) {
        write(nil, old, key: key, namespace: namespace)
      }
      guard let binding, let role = binding.role else { return }
      bindings[key] = (binding, namespace)
      write(role, binding, key: key, namespace: namespace)
    }

    private mutating func write(_ role: String?, _ binding: Binding, key: String, namespace: String) {
      for user in binding.users { Self.write(role, user, &ofUser, key: key, namespace: namespace) }
      for group in binding.groups { Self.write(role, group, &ofGroup, key: key, namespace: namespace) }
      writes += binding.users.count + binding.groups.count
    }

    private static func write(
      _ role: String?, _ subject: String, _ table: inout [String: Bindings], key: String, namespace: String
    ) {
      table[subject, default: Bindings()].set(role, key: key, namespace: namespace)
      if table[subject]?.isEmpty == true { table[subject] = nil }
    }

    func allows(_ attributes: AccessAttributes) -> Bool {
      if ofUser[attributes.user.name].map({ allows(attributes, by: $0) }) == true { return true }
      return attributes.user.groups.contains { group in ofGroup[group].map { allows(attributes, by: $0) } == true }
    }

    private func allows(_ attributes: AccessAttributes, by bindings: Bindings) -> Bool {
      func grants(_ names: [String: String]) -> Bool {
        names.values.contains { role in roles[role]?.contains { $0.allows(attributes) } == true }
      }
      if grants(bindings.ofCluster) { return true }
      guard attributes.isResourceRequest, !bindings.ofNamespace.isEmpty else { return false }
      return bindings.ofNamespace[attributes.namespace].map(grants) == true
    }

    /// The rules of the roles that are bound to a user in a namespace, in the order of the bindings' keys.
    func rules(for user: UserInfo, namespace: String) -> [Rule] {
      var names: [String: String] = [:]
      for bindings in [ofUser[user.name]] + user.groups.map({ ofGroup[$0] }) {
        guard let bindings else { continue }
        names.merge(bindings.ofCluster) { $1 }
        names.merge(bindings.ofNamespace[namespace] ?? [:]) { $1 }
      }
      return names.sorted { $0.key < $1.key }.flatMap { roles[$0.value] ?? [] }
    }
  }

  static let prefix = "rbac.authorization.k8s.io/"
  private let index = Mutex(Index())
  private let reader: StoredObjectReader
  private let watch = Mutex<Store.Watch?>(nil)

  /// Indexes what is stored and follows it until the store closes.
  init(store: Store, reader: StoredObjectReader) throws {
    self.reader = reader
    let page = try store.list(prefix: Self.prefix)
    for entry in page.entries { set(entry, isDeleted: false) }
    let watch = try store.follow(prefix: Self.prefix, after: page.revision) { [weak self] signal in
      guard case .events(let events) = signal, let self else { return }
      for event in events { set(event.entry, isDeleted: event.kind == .delete) }
    }
    self.watch.withLock { $0 = watch }
  }

  /// A role or binding that cannot be read gives nobody anything: what it said before may be what was taken back.
  private func set(_ entry: Entry, isDeleted: Bool) {
    let json = isDeleted ? nil : reader.read(entry)
    let (key, header) = (entry.key, entry.header)
    if key.hasPrefix("\(Self.prefix)roles/") || key.hasPrefix("\(Self.prefix)clusterroles/") {
      let rules = json.map { ($0["rules"]?.array ?? []).map(Rule.init) }
      index.withLock { $0.roles["\(header.namespace)/\(header.name)"] = rules }
    } else {
      let binding = json.map { Binding($0, namespace: header.namespace) }
      index.withLock { $0.set(binding, key: key, namespace: header.namespace) }
    }
  }

  /// How many entries of the index were written so far.
  var writes: Int { index.withLock { $0.writes } }

  /// Whether a role that is bound to the user allows the request.
  func allows(_ attributes: AccessAttributes) -> Bool {
    if attributes.user.isMaster { return true }
    return index.withLock { $0.allows(attributes) }
  }

  /// The rules of a Role, or with an empty namespace of a ClusterRole; `nil` when there is no such role.
  func rules(ofRole name: String, namespace: String) -> [Rule]? {
    index.withLock { $0.roles["\(namespace)/\(name)"] }
  }

  /// Everything that the user may do in a namespace, for `SelfSubjectRulesReview`.
  func rules(for user: UserInfo, namespace: String) -> [Rule] {
    if user.isMaster { return Rule.everything }
    return index.withLock { $0.rules(for: user, namespace: namespace) }
  }
}
