-- load.lua - what wrk sends, and what it found.
--
-- Its one argument is a file with the plan, written by wrk.py: a Lua table. A vector is put
-- together from four of the plan's pieces, which costs the generator next to nothing and
-- hardly ever gives the same vector twice. The random numbers are the same in every run,
-- so all contestants are sent the same.
--
-- wrk itself counts as an error only what is above 399. So every answer's status is looked
-- at here, except where the requests are all the same ("fixed"): a fast stub would wait
-- for the generator.

local plan
local number = 0
local threads = {}
bad_answers, bad_status = 0, 0

function setup(thread)
	table.insert(threads, thread)
end

local function vector()
	local parts = {}
	for i = 1, 4 do
		parts[i] = plan.pieces[math.random(#plan.pieces)]
	end
	return plan.open .. table.concat(parts, plan.between) .. plan.close
end

local function post(path, body)
	return table.concat({
		"POST ", path, " HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n",
		"Content-Length: ", #body, "\r\n\r\n", body,
	})
end

-- The collections take turns.
local function collection()
	return plan.paths[number % #plan.paths + 1]
end

local function next_id()
	number = number + 1
	return string.format('"%s-%d"', plan.prefix, number % plan.distinct)
end

local function write()
	local ids, vectors, documents, metadatas = {}, {}, {}, {}
	local path = collection() .. "/" .. plan.kind
	for i = 1, plan.batch do
		ids[i], vectors[i] = next_id(), vector()
		documents[i] = plan.document
		metadatas[i] = '{"n":' .. number .. "}"
	end
	number = plan.batch == 1 and number or number + 1 -- else the turns may always hit the same
	return post(path, string.format(
		'{"ids":[%s],"embeddings":[%s],"documents":[%s],"metadatas":[%s]}',
		table.concat(ids, ","), table.concat(vectors, ","),
		table.concat(documents, ","), table.concat(metadatas, ",")))
end

local requests = {
	add = write,
	upsert = write,
	query = function()
		number = number + 1
		local body = '{"query_embeddings":[' .. vector() .. '],"n_results":10}'
		return post(collection() .. "/query", body)
	end,
	get = function()
		number = number + 1
		local body = string.format('{"ids":["%s-%d"]}', plan.prefix, math.random(plan.distinct) - 1)
		return post(collection() .. "/get", body)
	end,
	count = function()
		number = number + 1
		return "GET " .. collection() .. "/count HTTP/1.1\r\nHost: bench\r\n\r\n"
	end,
}

local function look(status)
	if status < 200 or status > 299 then
		bad_answers, bad_status = bad_answers + 1, status
	end
end

-- wrk looks for the global functions `request` and `response` after this.
function init(arguments)
	plan = dofile(arguments[1])
	if plan.kind ~= "fixed" then
		request, response = requests[plan.kind], look
	end
end

function done(summary, latency)
	local bad, status = 0, 0
	for _, thread in ipairs(threads) do
		bad = bad + thread:get("bad_answers")
		status = math.max(status, thread:get("bad_status"))
	end
	local e = summary.errors
	print(string.format(
		'RESULT {"requests":%d,"microseconds":%d,"p50":%d,"p99":%d,"bad":%d,"bad_status":%d,'
			.. '"status":%d,"connect":%d,"read":%d,"write":%d,"timeout":%d}',
		summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
		bad, status, e.status, e.connect, e.read, e.write, e.timeout))
end
