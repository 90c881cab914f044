import LinuxSystem
import Wire

/// The numbers that a container's first process runs with.
struct ResolvedUser: Equatable, Sendable {
  var uid: UInt32
  var gid: UInt32
  /// With the primary group, which comes first.
  var additionalGroups: [UInt32]
}

extension ResolvedUser {
  /// `LinuxContainerUser` (KEP-3619), also the form in the container's record.
  var json: JSON {
    [
      "uid": .int(Int64(uid)), "gid": .int(Int64(gid)),
      "supplementalGroups": .array(additionalGroups.map { .int(Int64($0)) }),
    ]
  }

  init?(json: JSON) {
    guard let uid = json["uid"]?.int.flatMap(UInt32.init(exactly:)),
      let gid = json["gid"]?.int.flatMap(UInt32.init(exactly:))
    else { return nil }
    self.init(
      uid: uid, gid: gid,
      additionalGroups: (json["supplementalGroups"]?.array ?? []).compactMap {
        $0.int.flatMap(UInt32.init(exactly:))
      })
  }
}

/// Finds a container's user in an image's `/etc/passwd` and `/etc/group`, with the rules of Docker's `USER`: names or
/// numbers, `user:group`; a user brings its groups.
struct UserLookup {
  let database: UserDatabase

  init(database: UserDatabase) { self.database = database }

  /// Reads the files of a root file system.
  ///
  /// - Throws: when there is one that cannot be read: a user that is not looked up would have the group 0.
  init(root: String) throws(RuntimeError) {
    do {
      database = try UserDatabase(root: root)
    } catch {
      throw RuntimeError(.system, "the image's users cannot be read: \(error)")
    }
  }

  /// - Parameter mergesGroups: whether the groups that the image's files give the user come beside the named ones.
  func resolve(
    imageUser: String, runAsUser: Int64?, runAsGroup: Int64?, supplementalGroups: [Int64], mergesGroups: Bool = true
  ) throws(RuntimeError) -> ResolvedUser {
    let parts = imageUser.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
    let userText = parts.first ?? ""
    let groupText = parts.count > 1 ? parts[1] : ""

    let user: UserDatabase.User
    if let runAsUser {
      let uid = try Self.number(runAsUser, "runAsUser")
      user = database.user(uid) ?? UserDatabase.User(name: "", uid: uid, gid: 0)
    } else if let uid = UserDatabase.number(userText) {
      user = database.user(uid) ?? UserDatabase.User(name: "", uid: uid, gid: 0)
    } else if !userText.isEmpty {
      guard let found = database.user(named: userText) else {
        throw RuntimeError(.invalid, "the image's user \"\(userText)\" is not in its /etc/passwd")
      }
      user = found
    } else {
      user = database.user(0) ?? UserDatabase.User(name: "root", uid: 0, gid: 0)
    }

    var gid = user.gid
    if let runAsGroup {
      gid = try Self.number(runAsGroup, "runAsGroup")
    } else if runAsUser == nil, !groupText.isEmpty {
      if let number = UserDatabase.number(groupText) {
        gid = number
      } else if let group = database.group(named: groupText) {
        gid = group.gid
      } else {
        throw RuntimeError(.invalid, "the image's group \"\(groupText)\" is not in its /etc/group")
      }
    }
    var additional = mergesGroups ? database.memberships(of: user.name) : []
    for group in supplementalGroups { additional.append(try Self.number(group, "supplementalGroups")) }
    return ResolvedUser(
      uid: user.uid, gid: gid,
      additionalGroups: UserDatabase.processGroups(primary: gid, additional: additional))
  }

  private static func number(_ value: Int64, _ field: String) throws(RuntimeError) -> UInt32 {
    guard let number = UInt32(exactly: value), number != .max else {
      throw RuntimeError(.invalid, "\(field) \(value) is not a user or group number")
    }
    return number
  }
}
