-- wrk's requests. Without arguments the plain GET of the address; with a file and a kind, the vends of that file (or GETs
-- of the address by its callers, into which a token is put), made
-- before the clock starts and sent in an order of their own by each thread.
local threads = 0

function setup(thread)
   thread:set("number", threads)
   threads = threads + 1
end

function init(arguments)
   prepared, place = {}, 0
   if #arguments < 2 then
      prepared[1] = wrk.format("GET")
      return
   end
   for line in io.lines(arguments[1]) do
      local person, key, plugin = line:match("^(%S+) (%S+) (%S+)$")
      local token, body = key, '{"provider":"github","scopes":["repo"]}'
      if arguments[2] == "plugin" then
         token, body = plugin, '{"userId":"' .. person .. '","provider":"github","scopes":["repo"]}'
      end
      local headers = {
         ["Authorization"] = "Bearer " .. token, ["Content-Type"] = "application/json", ["Host"] = wrk.headers["Host"]
      }
      if arguments[2] == "inject" then
         headers["Content-Type"] = nil
         prepared[#prepared + 1] = wrk.format("GET", wrk.path, headers)
      else
         prepared[#prepared + 1] = wrk.format("POST", wrk.path, headers, body)
      end
   end
   assert(#prepared > 0, "no callers in " .. arguments[1])
   -- Each thread begins elsewhere.
   place = math.floor(number * #prepared / 2)
end

function request()
   place = place % #prepared + 1
   return prepared[place]
end
