import Wire

/// Who asks (`authentication/v1 UserInfo`).
package struct Caller: Sendable, Equatable {
  package var name: String
  package var uid: String
  package var groups: [String]
  package var extra: [String: [String]]

  package init(name: String, uid: String = "", groups: [String] = [], extra: [String: [String]] = [:]) {
    self.name = name
    self.uid = uid
    self.groups = groups
    self.extra = extra
  }

  /// Which certificate or token it was.
  package static let credentialID = "authentication.kubernetes.io/credential-id"

  package static let anonymous = Caller(name: "system:anonymous", groups: ["system:unauthenticated"])
  /// This very process: what it does by itself, and not for one of its components.
  package static let `internal` = Caller(name: "system:apus", groups: ["system:masters", "system:authenticated"])
  /// What the names of our own processes begin with: only our authority signs such certificates.
  package static let ownPrefix = "system:apus:"

  package var isMaster: Bool { groups.contains("system:masters") }

  package var json: JSON {
    var object: JSONObject = ["username": .string(name)]
    if !uid.isEmpty { object["uid"] = .string(uid) }
    if !groups.isEmpty { object["groups"] = .array(groups.map(JSON.string)) }
    if !extra.isEmpty {
      object["extra"] = .object(
        JSONObject(uniqueMembers: extra.sorted { $0.key < $1.key }.map { ($0.key, .array($0.value.map(JSON.string))) }))
    }
    return .object(object)
  }
}
