-- Reads one path. Arguments: path, token, and what is accepted when it is not JSON.
function init(args)
  wrk.path = args[1]
  wrk.headers["Authorization"] = "Bearer " .. args[2]
  if args[3] then wrk.headers["Accept"] = args[3] end
end

function request()
  return wrk.format("GET", wrk.path)
end
