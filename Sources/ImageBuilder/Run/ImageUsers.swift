import LinuxSystem
import OCI

/// Users and groups of an image (passwd(5), group(5)), with the rules of Docker's `USER` and `--chown`: names or
/// numbers, `user:group`.
struct ImageUsers: Sendable {
  struct Identity: Sendable, Equatable {
    var uid: UInt32
    var gid: UInt32
    /// Groups that the user is a member of.
    var groups: [UInt32] = []
    var home: String?
  }

  private struct User {
    var name: String
    var uid: UInt32
    var gid: UInt32
    var home: String
  }
  private struct Group {
    var name: String
    var gid: UInt32
    var members: [Substring]
  }

  private let users: [User]
  private let groups: [Group]

  init(passwd: [UInt8], group: [UInt8]) {
    func lines(_ bytes: [UInt8]) -> [[Substring]] {
      String(decoding: bytes, as: UTF8.self).split(separator: "\n").filter { !$0.hasPrefix("#") }
        .map { $0.split(separator: ":", omittingEmptySubsequences: false) }
    }
    users = lines(passwd).compactMap { fields in
      guard fields.count >= 4, let uid = UInt32(fields[2]), let gid = UInt32(fields[3]) else { return nil }
      return User(name: String(fields[0]), uid: uid, gid: gid, home: fields.count > 5 ? String(fields[5]) : "")
    }
    groups = lines(group).compactMap { fields in
      guard fields.count >= 3, let gid = UInt32(fields[2]) else { return nil }
      return Group(name: String(fields[0]), gid: gid, members: fields.count > 3 ? fields[3].split(separator: ",") : [])
    }
  }

  /// Reads the two files of an image. Missing ones are empty. Blocks shortly.
  init(_ image: LowerTree) throws(BuildError) {
    func document(_ name: String) throws(BuildError) -> [UInt8] {
      let path = try stored { () throws(OCIError) in try image.resolve(name) }
      guard let location = try stored({ () throws(OCIError) in try image.location(path) }),
        location.status.kind == .file, location.status.size <= 1 << 20
      else { return [] }
      return try system { () throws(SystemError) in
        let file = try location.tree.open(path)
        var bytes = [UInt8](repeating: 0, count: Int(location.status.size))
        var filled = 0
        while filled < bytes.count {
          var failure: SystemError?
          let count = bytes.withUnsafeMutableBytes { buffer in
            do throws(SystemError) {
              return try file.read(into: UnsafeMutableRawBufferPointer(rebasing: buffer[filled...]))
            } catch {
              failure = error
              return 0
            }
          }
          if let failure { throw failure }
          if count == 0 { break }
          filled += count
        }
        return Array(bytes[..<filled])
      }
    }
    self.init(passwd: try document("etc/passwd"), group: try document("etc/group"))
  }

  /// Whether a `user[:group]` has numbers only, so that no image has to be looked at.
  static func isNumeric(_ text: String) -> Bool {
    text.split(separator: ":", omittingEmptySubsequences: false).allSatisfy { UInt32($0) != nil }
  }

  /// What a process with this `USER` runs as. Empty is root.
  func process(_ text: String) throws(BuildError) -> Identity {
    let (userText, groupText) = Self.split(text)
    var user: User
    // An image without /etc/passwd has root all the same.
    if userText.isEmpty || (userText == "root" && !users.contains { $0.name == "root" }) {
      user = users.first { $0.uid == 0 } ?? User(name: "root", uid: 0, gid: 0, home: "/root")
    } else if let found = users.first(where: { $0.name == userText }) {
      user = found
    } else if let uid = UInt32(userText) {
      user = users.first { $0.uid == uid } ?? User(name: "", uid: uid, gid: 0, home: "")
    } else {
      throw BuildError(.notFound, "unable to find user \(userText): no matching entries in passwd file")
    }
    var members: [UInt32] = []
    if let groupText {
      user.gid = try gid(groupText)
    } else if !user.name.isEmpty {
      members = groups.filter { $0.members.contains(Substring(user.name)) }.map(\.gid)
    }
    return Identity(uid: user.uid, gid: user.gid, groups: members, home: user.home.isEmpty ? nil : user.home)
  }

  /// What files with this `--chown` belong to. Without a group, the group has the user's number for a number, and is the
  /// user's own for a name.
  func owner(_ text: String) throws(BuildError) -> Placement.Owner {
    let (userText, groupText) = Self.split(text)
    var owner: Placement.Owner
    if let uid = UInt32(userText) {
      owner = Placement.Owner(uid: uid, gid: uid)
    } else if let user = users.first(where: { $0.name == userText }) {
      owner = Placement.Owner(uid: user.uid, gid: user.gid)
    } else if userText.isEmpty || userText == "root" {
      owner = Placement.Owner(uid: 0, gid: 0)
    } else {
      throw BuildError(
        .notFound,
        "invalid user index: -1: the user \"\(userText)\" of --chown is not in the image's /etc/passwd; use its number")
    }
    if let groupText { owner.gid = try gid(groupText) }
    return owner
  }

  private func gid(_ text: String) throws(BuildError) -> UInt32 {
    if let gid = UInt32(text) { return gid }
    if text == "root", !groups.contains(where: { $0.name == "root" }) { return 0 }
    guard let group = groups.first(where: { $0.name == text }) else {
      throw BuildError(.notFound, "unable to find group \(text): no matching entries in group file")
    }
    return group.gid
  }

  private static func split(_ text: String) -> (user: String, group: String?) {
    guard let colon = text.firstIndex(of: ":") else { return (text, nil) }
    let group = String(text[text.index(after: colon)...])
    return (String(text[..<colon]), group.isEmpty ? nil : group)
  }
}
