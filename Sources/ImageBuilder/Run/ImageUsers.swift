import Layers
import LinuxSystem
import OCI

/// Users and groups of an image, for `USER` (`UserDatabase.process`) and, with Docker's rules, for `--chown`: names or
/// numbers, `user:group`.
struct ImageUsers: Sendable {
  private let database: UserDatabase

  init(_ database: UserDatabase) { self.database = database }

  /// Reads the files of an image. Blocks shortly.
  init(_ image: LowerTree) throws(BuildError) {
    database = try stored { () throws(OCIError) in try image.userDatabase() }
  }

  /// Whether a `user[:group]` has numbers only, so that no image has to be looked at.
  static func isNumeric(_ text: String) -> Bool {
    text.split(separator: ":", omittingEmptySubsequences: false).allSatisfy { UserDatabase.number($0) != nil }
  }

  /// What a process with this `USER` runs as. Empty is root. With a group the user has no other one, as Docker has it;
  /// containers of pods keep theirs, as in Kubernetes.
  func process(_ text: String) throws(BuildError) -> ProcessUser {
    do throws(UserDatabase.UnknownName) {
      return try database.process(text, mergesGroups: Self.split(text).group == nil)
    } catch {
      throw Self.failure(error)
    }
  }

  /// What files with this `--chown` belong to. Without a group, the group has the user's number for a number, and is the
  /// user's own for a name.
  func owner(_ text: String) throws(BuildError) -> Placement.Owner {
    let (userText, groupText) = Self.split(text)
    var owner: Placement.Owner
    if let uid = UserDatabase.number(userText) {
      owner = Placement.Owner(uid: uid, gid: uid)
    } else if let user = database.user(named: userText) {
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

  /// What a folder that `WORKDIR` makes belongs to: that a user is not known shows when a process is to run as it.
  func workingDirectoryOwner(_ text: String) throws(BuildError) -> Placement.Owner? {
    guard !text.isEmpty else { return nil }
    do {
      let identity = try process(text)
      return Placement.Owner(uid: identity.uid, gid: identity.gid)
    } catch {
      guard error.code == .notFound else { throw error }
      return nil
    }
  }

  private func gid(_ text: String) throws(BuildError) -> UInt32 {
    do throws(UserDatabase.UnknownName) { return try database.number(ofGroup: text) } catch {
      throw Self.failure(error)
    }
  }

  private static func failure(_ error: UserDatabase.UnknownName) -> BuildError {
    switch error {
    case .user(let name): BuildError(.notFound, "unable to find user \(name): no matching entries in passwd file")
    case .group(let name): BuildError(.notFound, "unable to find group \(name): no matching entries in group file")
    }
  }

  private static func split(_ text: String) -> (user: String, group: String?) {
    guard let colon = text.firstIndex(of: ":") else { return (text, nil) }
    let group = String(text[text.index(after: colon)...])
    return (String(text[..<colon]), group.isEmpty ? nil : group)
  }
}
