import LinuxSystem

/// The numbers that a container's first process runs with.
struct ResolvedUser: Equatable, Sendable {
  var uid: UInt32
  var gid: UInt32
  var additionalGroups: [UInt32]
}

/// Finds users and groups in an image's `/etc/passwd` and `/etc/group` (passwd(5), group(5)), with the rules of
/// Docker's `USER`: names or numbers, `user:group`; a user brings its groups unless a group is named.
struct UserLookup {
  struct User: Equatable {
    var name: String
    var uid: UInt32
    var gid: UInt32
  }
  struct Group: Equatable {
    var name: String
    var gid: UInt32
    var members: [String]
  }

  var users: [User]
  var groups: [Group]

  /// Lines that are not of the form are left out.
  init(passwd: [UInt8], group: [UInt8]) {
    users = Self.lines(passwd).compactMap { fields in
      guard fields.count >= 4, let uid = UInt32(fields[2]), let gid = UInt32(fields[3]) else { return nil }
      return User(name: fields[0], uid: uid, gid: gid)
    }
    groups = Self.lines(group).compactMap { fields in
      guard fields.count >= 3, let gid = UInt32(fields[2]) else { return nil }
      return Group(
        name: fields[0], gid: gid, members: fields.count > 3 ? fields[3].split(separator: ",").map(String.init) : [])
    }
  }

  /// Reads the two files without leaving `root`, whatever symbolic links the image holds. A missing file is empty.
  ///
  /// - Throws: when there is one that cannot be read: a user that is not looked up would have the group 0.
  init(root: String) throws(RuntimeError) {
    func read(_ path: String) throws(RuntimeError) -> [UInt8] {
      do throws(SystemError) {
        do throws(SystemError) {
          return try ResolvedFile(path, in: ResolvedFile(root), scope: .inRoot).contents(limit: 1 << 20)
        } catch {
          if error.isMissing { return [] }
          throw error
        }
      } catch {
        throw RuntimeError(.system, "the image's /\(path) cannot be read: \(error)")
      }
    }
    self.init(passwd: try read("etc/passwd"), group: try read("etc/group"))
  }

  func resolve(
    imageUser: String, runAsUser: Int64?, runAsGroup: Int64?, supplementalGroups: [Int64]
  ) throws(RuntimeError) -> ResolvedUser {
    let parts = imageUser.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
    let userText = parts.first ?? ""
    let groupText = parts.count > 1 ? parts[1] : ""

    var user = User(name: "", uid: 0, gid: 0)
    if let runAsUser {
      let uid = try Self.number(runAsUser, "runAsUser")
      user = users.first { $0.uid == uid } ?? User(name: "", uid: uid, gid: 0)
    } else if let uid = UInt32(userText) {
      user = users.first { $0.uid == uid } ?? User(name: "", uid: uid, gid: 0)
    } else if !userText.isEmpty {
      guard let found = users.first(where: { $0.name == userText }) else {
        throw RuntimeError(.invalid, "the image's user \"\(userText)\" is not in its /etc/passwd")
      }
      user = found
    } else {
      user = users.first { $0.uid == 0 } ?? User(name: "root", uid: 0, gid: 0)
    }

    var gid = user.gid
    if let runAsGroup {
      gid = try Self.number(runAsGroup, "runAsGroup")
    } else if runAsUser == nil, !groupText.isEmpty {
      if let number = UInt32(groupText) {
        gid = number
      } else if let group = groups.first(where: { $0.name == groupText }) {
        gid = group.gid
      } else {
        throw RuntimeError(.invalid, "the image's group \"\(groupText)\" is not in its /etc/group")
      }
    }
    var additional: [UInt32] = []
    for group in groups where !user.name.isEmpty && group.members.contains(user.name) { additional.append(group.gid) }
    for group in supplementalGroups { additional.append(try Self.number(group, "supplementalGroups")) }
    var seen: Set<UInt32> = []
    return ResolvedUser(uid: user.uid, gid: gid, additionalGroups: additional.filter { seen.insert($0).inserted })
  }

  private static func number(_ value: Int64, _ field: String) throws(RuntimeError) -> UInt32 {
    guard let number = UInt32(exactly: value), number != .max else {
      throw RuntimeError(.invalid, "\(field) \(value) is not a user or group number")
    }
    return number
  }

  private static func lines(_ bytes: [UInt8]) -> [[String]] {
    bytes.split(separator: 0x0a).filter { $0.first != UInt8(ascii: "#") }.map { line in
      line.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false).map {
        String(decoding: $0, as: UTF8.self)
      }
    }
  }
}
