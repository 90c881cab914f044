import LinuxSystem
import Wire

/// The numbers that a container's first process runs with.
package struct ResolvedUser: Equatable, Sendable {
  package var uid: UInt32
  package var gid: UInt32
  /// With the primary group, which comes first.
  package var additionalGroups: [UInt32]
}

extension ResolvedUser {
  /// `LinuxContainerUser` (KEP-3619), also the form in the container's record.
  package var json: JSON {
    [
      "uid": .int(Int64(uid)), "gid": .int(Int64(gid)),
      "supplementalGroups": .array(additionalGroups.map { .int(Int64($0)) }),
    ]
  }

  package init?(json: JSON) {
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

/// Finds a container's user in an image's `/etc/passwd` and `/etc/group` (`UserDatabase.process`).
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
    let uid = try runAsUser.map { value throws(RuntimeError) in try Self.number(value, "runAsUser") }
    let gid = try runAsGroup.map { value throws(RuntimeError) in try Self.number(value, "runAsGroup") }
    let groups = try supplementalGroups.map { value throws(RuntimeError) in
      try Self.number(value, "supplementalGroups")
    }
    do throws(UserDatabase.UnknownName) {
      let user = try database.process(
        imageUser, uid: uid, gid: gid, supplementalGroups: groups, mergesGroups: mergesGroups)
      return ResolvedUser(uid: user.uid, gid: user.gid, additionalGroups: user.groups)
    } catch {
      switch error {
      case .user(let name): throw RuntimeError(.invalid, "the image's user \"\(name)\" is not in its /etc/passwd")
      case .group(let name): throw RuntimeError(.invalid, "the image's group \"\(name)\" is not in its /etc/group")
      }
    }
  }

  private static func number(_ value: Int64, _ field: String) throws(RuntimeError) -> UInt32 {
    guard let number = UInt32(exactly: value), number != .max else {
      throw RuntimeError(.invalid, "\(field) \(value) is not a user or group number")
    }
    return number
  }
}
