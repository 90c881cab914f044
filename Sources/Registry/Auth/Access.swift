/// What may be done with a repository, in the words of Docker's token scopes, and with the registry.
public enum Action: String, Sendable, Hashable, CaseIterable, Comparable {
  case pull, push, delete
  /// Reading what the registry counts. It is of all repositories together: a rule for some of them does not give it.
  case metrics

  /// Those that a token for a repository can be for.
  static let ofRepositories: [Action] = [.pull, .push, .delete]

  public static func < (a: Action, b: Action) -> Bool { a.order < b.order }

  private var order: Int {
    switch self {
    case .pull: 0
    case .push: 1
    case .delete: 2
    case .metrics: 3
    }
  }
}

/// Who may do what with which repositories. Rules add up; what no rule allows is refused.
public struct AccessRule: Sendable, Equatable {
  /// Patterns over repository names: `team/**`.
  public var repositories: [Glob]
  /// User names; `*` is everybody who has signed in, `anonymous` everybody.
  public var subjects: [String]
  public var actions: Set<Action>

  public init(repositories: [Glob], subjects: [String], actions: Set<Action>) {
    self.repositories = repositories
    self.subjects = subjects
    self.actions = actions
  }
}

/// One resource of a token and what may be done with it (Docker's token scope, as clients send it).
///
/// ```
/// scopes   = scope *( SP scope )
/// scope    = type [ "(" class ")" ] ":" name ":" action *( "," action )
/// ```
/// The name may itself hold a colon, as in `repository:host:5000/app:pull`.
struct Scope: Sendable, Equatable, CustomStringConvertible {
  var type: String
  var name: String
  /// `pull`, `push`, `delete`, `*`; in the client's order, each once.
  var actions: [String]

  init(type: String, name: String, actions: [String]) {
    self.type = type
    self.name = name
    self.actions = actions
  }

  /// `nil` for another form.
  init?(_ text: some StringProtocol) {
    guard let first = text.firstIndex(of: ":"), let last = text.lastIndex(of: ":"), first < last else { return nil }
    var type = text[..<first]
    if let open = type.firstIndex(of: "(") {
      guard type.hasSuffix(")") else { return nil }
      type = type[..<open]
    }
    let name = text[text.index(after: first)..<last]
    guard !type.isEmpty, type.utf8.allSatisfy({ Scope.isWord($0) }), !name.isEmpty, name.utf8.count <= 512,
      name.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F })
    else { return nil }
    var actions: [String] = []
    for action in text[text.index(after: last)...].split(separator: ",") {
      guard action == "*" || action.utf8.allSatisfy({ Scope.isWord($0) }), action.utf8.count <= 32 else { return nil }
      if !actions.contains(String(action)) { actions.append(String(action)) }
      guard actions.count <= 16 else { return nil }
    }
    self.init(type: String(type), name: String(name), actions: actions)
  }

  var description: String { "\(type):\(name):\(actions.joined(separator: ","))" }

  /// The list of repositories.
  static let catalog = Scope(type: "registry", name: "catalog", actions: ["*"])

  /// Whether it is for the action in the repository.
  func covers(_ action: Action, _ repository: String) -> Bool {
    type == "repository" && name == repository && (actions.contains(action.rawValue) || actions.contains("*"))
  }

  /// At most this many of a request are looked at.
  static let countMax = 64

  /// The scopes of `scope` parameters, each of which may hold several; malformed ones are left out, as they grant nothing.
  static func list(_ parameters: [String]) -> [Scope] {
    Array(parameters.lazy.flatMap { $0.split(separator: " ") }.prefix(countMax).compactMap { Scope($0) })
  }

  private static func isWord(_ byte: UInt8) -> Bool {
    (0x30...0x39).contains(byte) || (0x61...0x7A).contains(byte | 0x20) || byte == UInt8(ascii: "-")
      || byte == UInt8(ascii: "_")
  }
}

/// The rules, asked about one request.
struct AccessControl: Sendable {
  var rules: [AccessRule]

  static let anonymous = "anonymous"

  /// - Parameter user: `nil` for somebody who has not signed in.
  func allows(_ user: String?, _ action: Action, _ repository: some StringProtocol) -> Bool {
    rules.contains { rule in
      rule.actions.contains(action) && Self.names(rule, user) && rule.repositories.contains { $0.matches(repository) }
    }
  }

  /// Whether somebody may read the registry's metrics.
  func allowsMetrics(_ user: String?) -> Bool {
    rules.contains { rule in
      rule.actions.contains(.metrics) && Self.names(rule, user) && rule.repositories.contains(Glob("**"))
    }
  }

  /// Whether somebody may do something at all; without it `/v2/` asks for a sign-in.
  func allowsAnything(_ user: String?) -> Bool { rules.contains { Self.names($0, user) } }

  /// Whether the list of repositories shows one to somebody: what they may read. A token for less than the list has been
  /// refused before.
  func lists(_ repository: String, to identity: Identity) -> Bool { allows(identity.user, .pull, repository) }

  /// The part of the asked scope that the rules grant.
  func granted(_ scope: Scope, to user: String?) -> Scope? {
    if scope == .catalog { return user != nil || allowsAnything(nil) ? scope : nil }
    guard scope.type == "repository", Names.isRepository(scope.name) else { return nil }
    let wanted =
      scope.actions.contains("*") ? Action.ofRepositories : scope.actions.compactMap { Action(rawValue: $0) }
    let actions = wanted.filter { $0 != .metrics }.filter { allows(user, $0, scope.name) }
    return Scope(type: scope.type, name: scope.name, actions: actions.map(\.rawValue))
  }

  private static func names(_ rule: AccessRule, _ user: String?) -> Bool {
    rule.subjects.contains { subject in
      if subject == anonymous { return true }
      guard let user else { return false }
      return subject == "*" || subject == user
    }
  }
}
