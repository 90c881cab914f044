import KubeClient
import KubeTypes
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

  private struct Binding {
    var namespace: String
    /// The key of the role in the index.
    var role: String
    var users: Set<String>
    var groups: Set<String>

    init(_ json: JSON) {
      namespace = json.at("metadata", "namespace")?.string ?? ""
      let scope = json.at("roleRef", "kind")?.string == "Role" ? namespace : ""
      role = "\(scope)/\(json.at("roleRef", "name")?.string ?? "")"
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

    func applies(to user: UserInfo) -> Bool { users.contains(user.name) || !groups.isDisjoint(with: user.groups) }
  }

  private struct Index {
    /// By `namespace/name`; the namespace is empty for cluster roles.
    var roles: [String: [Rule]] = [:]
    /// By store key.
    var bindings: [String: Binding] = [:] {
      didSet {
        bindingsOfUser = [:]
        bindingsOfGroup = [:]
        for binding in bindings.values {
          for user in binding.users { bindingsOfUser[user, default: []].append(binding) }
          for group in binding.groups { bindingsOfGroup[group, default: []].append(binding) }
        }
      }
    }
    /// The same for each request to find: it changes seldom and is asked for always.
    private(set) var bindingsOfUser: [String: [Binding]] = [:]
    private(set) var bindingsOfGroup: [String: [Binding]] = [:]

    func allows(_ attributes: AccessAttributes) -> Bool {
      if bindingsOfUser[attributes.user.name].map({ allows(attributes, by: $0) }) == true { return true }
      return attributes.user.groups.contains { group in
        bindingsOfGroup[group].map { allows(attributes, by: $0) } == true
      }
    }

    private func allows(_ attributes: AccessAttributes, by bindings: [Binding]) -> Bool {
      bindings.contains { binding in
        guard binding.namespace.isEmpty || (attributes.isResourceRequest && binding.namespace == attributes.namespace)
        else { return false }
        return roles[binding.role]?.contains { $0.allows(attributes) } == true
      }
    }
  }

  static let prefix = "rbac.authorization.k8s.io/"
  private let index = Mutex(Index())
  private let watch = Mutex<Store.Watch?>(nil)

  /// Indexes what is stored and follows it until the store closes.
  init(store: Store) throws {
    let page = try store.list(prefix: Self.prefix)
    for entry in page.entries { put(entry.key, entry.value, entry.header) }
    let watch = try store.watch(prefix: Self.prefix, after: page.revision) { [weak self] signal in
      guard case .events(let events) = signal, let self else { return }
      for event in events {
        if event.kind == .delete {
          remove(event.entry.key, event.entry.header)
        } else {
          put(event.entry.key, event.entry.value, event.entry.header)
        }
      }
    }
    self.watch.withLock { $0 = watch }
  }

  private func put(_ key: String, _ value: [UInt8], _ header: ObjectHeader) {
    guard let json = try? JSON.parse(value) else { return }
    index.withLock { index in
      if key.hasPrefix("\(Self.prefix)roles/") || key.hasPrefix("\(Self.prefix)clusterroles/") {
        index.roles["\(header.namespace)/\(header.name)"] = (json["rules"]?.array ?? []).map(Rule.init)
      } else {
        index.bindings[key] = Binding(json)
      }
    }
  }

  private func remove(_ key: String, _ header: ObjectHeader) {
    index.withLock { index in
      if key.hasPrefix("\(Self.prefix)roles/") || key.hasPrefix("\(Self.prefix)clusterroles/") {
        index.roles["\(header.namespace)/\(header.name)"] = nil
      } else {
        index.bindings[key] = nil
      }
    }
  }

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
    return index.withLock { index in
      var rules: [Rule] = []
      for (_, binding) in index.bindings.sorted(by: { $0.key < $1.key })
      where (binding.namespace.isEmpty || binding.namespace == namespace) && binding.applies(to: user) {
        rules += index.roles[binding.role] ?? []
      }
      return rules
    }
  }
}
